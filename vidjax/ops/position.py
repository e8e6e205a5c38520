"""Fixed position tables, and functions that resize learned ones."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_CUBIC = -0.75  # the constant of PyTorch's bicubic kernel


def sincos_1d(n: int, d: int) -> Float[Array, "n d"]:
    """Return a table of sine-cosine positions by flat token index; VideoMAE uses it for space-time tokens too.

    Channel j has the angle `position / 10000^(2 (j // 2) / d)`; even channels hold its sine, odd ones its cosine.
    The table is computed in float64 on the host, because a float32 angle of 1567 radians is only accurate to 1e-4.

    Args:
      n: number of positions.
      d: number of channels, odd or even.

    Source: Vaswani et al. 2017, section 3.5.

    Example:
      >>> vidjax.ops.sincos_1d(1568, 768).shape
      (1568, 768)
      >>> vidjax.ops.sincos_1d(1, 4).tolist()
      [[0.0, 1.0, 0.0, 1.0]]
    """
    return jnp.asarray(_sincos_table(n, d))


@functools.lru_cache(maxsize=8)  # a model is traced more than once, and the base model's table takes 0.12 s
def _sincos_table(n: int, d: int) -> np.ndarray:
    angles = np.arange(n)[:, None] / 10000 ** (2 * (np.arange(d) // 2) / d)
    table = np.where(np.arange(d) % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)
    table.flags.writeable = False
    return table


def resize_nearest(table: Float[Array, "*n d"], size: tuple[int, ...]) -> Float[Array, "*m d"]:
    """Resize the leading axes of a table to `size`: entry i of m is entry floor(i * (n / m)) of n.

    The product is rounded to float32 as in PyTorch's `interpolate(mode="nearest")`; at some sizes, this selects the
    entry before the exact one. Source: TimeSformer resizes its learned positions this way.

    Example:
      >>> vidjax.ops.resize_nearest(jnp.array([[1.0], [2.0]]), (4,)).tolist()
      [[1.0], [1.0], [2.0], [2.0]]
    """
    for axis, new in enumerate(size):
        old = table.shape[axis]
        if new != old:
            step = np.float32(old) / np.float32(new)
            source = np.minimum((np.arange(new, dtype=np.float32) * step).astype(np.int32), old - 1)
            table = jnp.take(table, source, axis=axis)
    return table


def cubic_weights(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Return the matrix that resizes an axis as PyTorch's bicubic interpolation does with align_corners=False.

    Each new entry is a weighted sum of four old ones, with edge entries repeated. The kernel's constant is -0.75 (-0.5
    in Keys' paper). There is no antialiasing.
    """
    places = (np.arange(new) + 0.5) * old / new - 0.5
    first, matrix = np.floor(places).astype(int), np.zeros((new, old))
    for neighbour in range(-1, 3):
        x = np.abs(places - (first + neighbour))
        near = (_CUBIC + 2) * x**3 - (_CUBIC + 3) * x**2 + 1
        far = _CUBIC * (x**3 - 5 * x**2 + 8 * x - 4)
        entry = np.clip(first + neighbour, 0, old - 1)
        np.add.at(matrix, (np.arange(new), entry), np.where(x <= 1, near, far))
    return matrix


def resize_cubic(frames: Float[Array, "*b h w c"], size: tuple[int, int]) -> Float[Array, "*b y x c"]:
    """Resize frames like PyTorch's `interpolate(mode="bicubic", align_corners=False)`.

    Frames that already have that size do not change.

    Example:
      >>> vidjax.ops.resize_cubic(jnp.ones((2, 8, 8, 3)), (6, 12)).shape
      (2, 6, 12, 3)
    """
    for axis, new in zip((-3, -2), size, strict=True):
        old = frames.shape[axis]
        if new != old:
            weights = jnp.asarray(cubic_weights(old, new), frames.dtype)
            frames = jnp.moveaxis(jnp.tensordot(frames, weights, (axis, 1), precision="highest"), -1, axis)
    return frames
