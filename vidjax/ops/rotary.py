"""Rotary positions in time, height and width: queries and keys are rotated by angles that depend on their cube."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from vidjax.errors import ConfigError
from vidjax.ops import platforms, rotary_tpu
from vidjax.ops.attention.mesh import on_each_device, shares

AXES = 3  # time, height and width share a head's channels
NARROWEST = 2 * AXES  # channels of a head
LONGEST = 10000.0  # wavelengths divided by 2 pi grow from 1 towards this many cubes


def rotary_3d(grid: tuple[int, int, int], d: int) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """Return the tables that `rotate` takes for heads of d channels: the cosines and the signed sines.

    An equal, even number of channels turns with time, with height and with width, in this order; up to 5 channels are
    left over and do not turn. Among the m channels of an axis, channel j has the angle
    `position / 10000^(2 (j % (m/2)) / m)`. The partners 2i and 2i + 1 thus have different angles, so this is not a
    rotation in their plane; the authors keep it because their weights were trained with it
    (`src/models/utils/modules.py:38`).

    The tables are computed in float64 on the host. The number of cubes along any axis may differ from that in training.

    Args:
      grid: cubes along time, height and width; tokens are numbered time first.
      d: channels of a head.

    Raises:
      ConfigError: for fewer than 6 channels, none of which would turn.

    Source: Su et al. 2021 (arXiv:2104.09864); in three dimensions, V-JEPA 2 (arXiv:2506.09985).

    Example:
      >>> cos, sin = vidjax.ops.rotary_3d((2, 3, 4), 64)
      >>> cos.shape, float(cos[0].min()), float(jnp.abs(sin[0]).max())  # the first cube does not turn
      ((24, 64), 1.0, 0.0)
    """
    if d < NARROWEST:
        raise ConfigError(f"heads of {d} channels are too narrow for rotary positions; use at least {NARROWEST}")
    cos, sin = _tables(tuple(grid), d)
    return jnp.asarray(cos), jnp.asarray(sin)


@functools.lru_cache(maxsize=8)  # a model is traced more than once
def _tables(grid: tuple[int, int, int], d: int) -> tuple[np.ndarray, np.ndarray]:
    turning = d // AXES // 2 * 2  # channels per axis
    frequencies = LONGEST ** -(np.arange(turning) % (turning // 2) / (turning / 2))
    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1).reshape(-1, AXES, 1)
    angles = np.zeros((len(places), d))
    angles[:, : AXES * turning] = (places * frequencies).reshape(len(places), -1)
    sign = np.where(np.arange(d) % 2 == 0, -1.0, 1.0)
    tables = np.cos(angles).astype(np.float32), (sign * np.sin(angles)).astype(np.float32)
    for table in tables:
        table.flags.writeable = False
    return tables


def rotate(
    x: Float[Array, "*b n h d"], cos: Float[Array, "*#b n d"], sin: Float[Array, "*#b n d"]
) -> Float[Array, "*b n h d"]:
    """Rotate the queries or keys of n tokens and h heads; the arithmetic is float32.

    Args:
      x: queries or keys.
      cos, sin: from `rotary_3d`; for a subset of the tokens, only the tables' rows for these. They get no gradients.

    Returns:
      an array like x, in x's dtype.

    Example:
      >>> x = jnp.ones((1, 8, 2, 12))
      >>> tables = vidjax.ops.rotary_3d((2, 2, 2), 12)
      >>> turned = vidjax.ops.rotate(x, *tables)
      >>> bool((turned[:, 0] == x[:, 0]).all()), bool((turned[:, 7] == x[:, 7]).all())
      (True, False)
    """
    # Heads side by side, as projections return them and kernels take them: a TPU copies an array to split its heads.
    joined = rearrange(x, "... n h d -> ... n (h d)")
    rows, tensor, _ = shares(x.shape[0], x.shape[-2])
    array = P(rows, *(None,) * (x.ndim - 3), tensor)
    table = P(rows if (cos.ndim, len(cos)) == (joined.ndim, len(x)) else None)
    return on_each_device(_rotate, (array, table, table), array)(joined, cos, sin).reshape(x.shape)


def _rotate(x, cos, sin):
    """Rotate heads that lie side by side (*b n h*d); on a mesh, each device rotates its own, so none are sent."""
    cos, sin = jax.lax.stop_gradient((cos, sin))
    return _by_platform(x, cos, sin) if rotary_tpu.applies(x, cos.shape[-1]) else _portable(x, cos, sin)


@jax.custom_vjp
def _by_platform(x, cos, sin):
    return platforms.dispatch(x, cos, sin, tpu=rotary_tpu.rotate, default=_portable)


def _turn_back(tables, g):
    """Return the gradient of x, given that of the rotated heads; the tables are constants."""

    def portable(g, cos, sin):
        (found,) = jax.linear_transpose(lambda x: _portable(x, cos, sin), g)(g)
        return found

    kernel = functools.partial(rotary_tpu.rotate, transposed=True)
    return platforms.dispatch(g, *tables, tpu=kernel, default=portable), None, None


_by_platform.defvjp(lambda x, cos, sin: (_by_platform(x, cos, sin), (cos, sin)), _turn_back)


def _portable(x, cos, sin):
    d = cos.shape[-1]
    even = jnp.tile(jnp.arange(d) % 2 == 0, x.shape[-1] // d)
    cos, sin = (jnp.tile(table, x.shape[-1] // d) for table in (cos, sin))
    # `pad` shifts channels by one, so that each lines up with its neighbour, and the TPU compiler fuses it with the
    # rest. The alternatives are slower: the compiler writes both parts of a `roll` to memory, and reshaping to pairs
    # needs a new layout. If a head has an odd number of channels, its last one gets a neighbour from another head, but
    # that channel is not rotated.
    whole, zero = [(0, 0, 0)] * (x.ndim - 1), jnp.zeros((), x.dtype)
    after, before = (jax.lax.pad(x, zero, [*whole, (-n, n, 0)]).astype(jnp.float32) for n in (1, -1))
    return (x.astype(jnp.float32) * cos + jnp.where(even, after, before) * sin).astype(x.dtype)
