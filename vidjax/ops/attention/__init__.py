"""Scaled dot-product attention: one signature, several named implementations.

`xla` uses plain einsums. `blocked` holds the logits of one batch row at a time, and `tiled` those of some queries of
one head. `pallas_tpu`, `splash` and `cudnn` are kernels.

`tiled` and the kernels support only first derivatives in reverse mode. The default may choose one of them, so name
`xla` or `blocked` for other derivatives.
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

SHORT = 128  # queries or keys; fewer do not fill a TPU register


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
    """Compute softmax(scale q k^T) v, with the softmax in float32.

    Args:
      q: n queries, with h heads of d channels.
      k, v: m keys and values.
      mask: True where a query may see a key; any axis may have size 1. Every query must see at least one key.
      is_causal: query i sees only keys 0..i.
      scale: factor on the logits; d^-1/2 if None.
      implementation: one of `IMPLEMENTATIONS`. None chooses `cudnn` where it runs. Elsewhere, None chooses `xla` with a
        mask, with `is_causal`, or with fewer than 128 queries or keys. In all other cases, None chooses `pallas_tpu` on
        a TPU (`splash` if the keys do not fit in a core; neither takes float16), `tiled` on a CPU with many logits, and
        otherwise plain JAX that recomputes the logits in the backward pass.

    Returns:
      an array like q, in q's dtype.

    Raises:
      ConfigError: if the implementation is unknown or cannot run these inputs here; a named implementation never falls
        back to another.

    Example:
      >>> q = jax.random.normal(jax.random.key(0), (2, 5, 3, 4))
      >>> vidjax.ops.attention(q, q, q, is_causal=True).shape
      (2, 5, 3, 4)
      >>> bool((vidjax.ops.attention(q, q, q, is_causal=True)[:, 0] == q[:, 0]).all())  # the first sees only itself
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
    """Apply `attention` along the axis t, separately at each of s places.

    Args:
      q: t queries at each place, with h heads of d channels.
      k, v: u keys and values at each place.
      scale: factor on the logits; d^-1/2 if None.
      implementation: as in `attention`. If a place has at most 16 tokens, None and `pallas_tpu` process many places at
        once on a TPU, without transposing the arrays. A non-finite token then makes nearby places NaN too.

    Returns:
      an array like q, in q's dtype.

    Raises:
      ConfigError: as in `attention`.

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
