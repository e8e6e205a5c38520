"""Scaled dot-product attention: one signature, several named implementations.

`xla` is plain einsums. `blocked` holds the logits of one row of the batch at a time, `tiled` those of some queries of
one head. `pallas_tpu`, `splash` and `cudnn` are kernels. These three and `tiled` can be differentiated once, in
reverse mode, and so can the default on any platform, unless there is a mask. For more, name `xla` or `blocked`.
"""

import functools

from einops import rearrange
from jaxtyping import Array, Bool, Float

from vidjax.errors import ConfigError
from vidjax.ops import platforms
from vidjax.ops.attention.cudnn import cudnn
from vidjax.ops.attention.cudnn import obstacle as cudnn_obstacle
from vidjax.ops.attention.fused import by_platform, over_time, pallas_tpu, places_at_once, splash, tiled
from vidjax.ops.attention.portable import blocked, xla

SHORT = 128  # queries or keys: fewer do not fill a register of a TPU


def attention(
    q: Float[Array, "b n h d"],
    k: Float[Array, "b m h d"],
    v: Float[Array, "b m h d"],
    *,
    mask: Bool[Array, "#b #h #n #m"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    implementation: str | None = None,
) -> Float[Array, "b n h d"]:
    """Softmax(q k^T scale) v, with the softmax in float32.

    Args:
      q: n queries; k, v: m keys and values; h heads of d channels.
      mask: True where a query may see a key; each axis may be 1. Every query must see at least one key.
      is_causal: query i sees keys 0..i only.
      scale: of the logits; d^-1/2 if None.
      implementation: one of `IMPLEMENTATIONS`. None takes cuDNN where it runs; else `xla` for masks and for fewer than
        128 queries or keys; for others, on a TPU, `pallas_tpu` or, if a core cannot hold the keys, `splash`, and on a
        CPU, where logits are many, `tiled`.

    Returns:
      an array like q, in q's dtype.

    Raises:
      ConfigError: for an unknown implementation, or a named one that cannot run these inputs here; a name never
        falls back to another.

    Example:
      >>> q = jax.random.normal(jax.random.key(0), (2, 5, 3, 4))
      >>> vidjax.ops.attention(q, q, q, is_causal=True).shape
      (2, 5, 3, 4)
      >>> bool((vidjax.ops.attention(q, q, q, is_causal=True)[:, 0] == q[:, 0]).all())  # the first sees itself alone
      True
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if implementation is None:
        implementation = "xla" if cudnn_obstacle(q, k) else "cudnn"
        if implementation == "xla" and mask is None and not is_causal and min(q.shape[1], k.shape[1]) >= SHORT:
            return by_platform(q, k, v, scale)
    elif implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"attention={implementation!r} is unknown; choose one of {', '.join(IMPLEMENTATIONS)}")
    return IMPLEMENTATIONS[implementation](q, k, v, mask, is_causal, scale)


def attention_over_time(
    q: Float[Array, "b t s h d"],
    k: Float[Array, "b u s h d"],
    v: Float[Array, "b u s h d"],
    *,
    scale: float | None = None,
    implementation: str | None = None,
) -> Float[Array, "b t s h d"]:
    """`attention` along the axis t, for each of s places by itself.

    Args:
      q, k, v: t queries, and u keys and values, of h heads of d channels at each place.
      scale: of the logits; d^-1/2 if None.
      implementation: as of `attention`. None on a TPU, and `pallas_tpu`, take up to 16 tokens of many places at once,
        which spares moving the tokens of a place together. One that is not finite makes places beside it NaN.

    Returns:
      an array like q, in q's dtype.

    Raises:
      ConfigError: as `attention`.

    Example:
      >>> q = jax.random.normal(jax.random.key(0), (2, 5, 7, 3, 4))
      >>> at_place = vidjax.ops.attention(*[q[:, :, 6]] * 3)
      >>> bool(jnp.allclose(vidjax.ops.attention_over_time(q, q, q)[:, :, 6], at_place, atol=1e-5))
      True
    """

    def moved(q, k, v):
        together = (rearrange(x, "b t s h d -> (b s) t h d") for x in (q, k, v))
        out = attention(*together, scale=scale, implementation=implementation)
        return rearrange(out, "(b s) t h d -> b t s h d", b=len(q))

    places = places_at_once(q, k)
    kernel = functools.partial(over_time, scale=q.shape[-1] ** -0.5 if scale is None else scale, places=places)
    if places and implementation == "pallas_tpu":
        return kernel(q, k, v)
    if places and implementation is None and cudnn_obstacle(q, k):
        return platforms.dispatch(q, k, v, tpu=kernel, default=moved)
    return moved(q, k, v)


IMPLEMENTATIONS = {
    "xla": xla,
    "blocked": blocked,
    "tiled": tiled,
    "pallas_tpu": pallas_tpu,
    "splash": splash,
    "cudnn": cudnn,
}
