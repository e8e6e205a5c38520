"""Cut clips into cubes in the loader, as `vidjax.ops.patchify` does more slowly on the device."""

import numpy as np
from einops import rearrange
from jaxtyping import UInt8


def cut(clips: UInt8[np.ndarray, "r t h w c"], tubelet: int, patch: int) -> UInt8[np.ndarray, "r n p"]:
    """Flatten each cube of pixels to a row, in the order (time, height, width, channel), channel fastest."""
    rows = rearrange(clips, "r (t p0) (h p1) (w p2) c -> r (t h w) (p0 p1 p2 c)", p0=tubelet, p1=patch, p2=patch)
    return np.ascontiguousarray(rows)
