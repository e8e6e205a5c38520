"""Fixed position tables."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def sincos_1d(n: int, d: int) -> Float[Array, "n d"]:
    """Sine and cosine of the flat token index (VideoMAE uses this 1-D table for space-time tokens too).

    Channel j has the angle `position / 10000^(2 (j // 2) / d)`; even channels hold its sine, odd ones its cosine.
    The table is computed in float64 on the host, because a float32 angle of 1567 radians is only good to 1e-4.

    Args:
      n: number of positions.
      d: number of channels, odd or even.

    Source: Vaswani et al. 2017, section 3.5.
    """
    angles = np.arange(n)[:, None] / 10000 ** (2 * (np.arange(d) // 2) / d)
    table = np.where(np.arange(d) % 2 == 0, np.sin(angles), np.cos(angles))
    return jnp.asarray(table, jnp.float32)
