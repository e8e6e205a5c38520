"""Scaled dot-product attention: one signature, several named implementations.

`xla` is plain einsums. `blocked` holds the logits of one row of the batch at a time, `tiled` those of some queries of
one head. `pallas_tpu` and `cudnn` are kernels. These two and `tiled` are differentiable once, in reverse mode; so is
what is picked without a name, on any platform, but for masks. Name `xla` or `blocked` for more.
"""

from jaxtyping import Array, Bool, Float

from vidjax.errors import ConfigError
from vidjax.ops.attention.cudnn import cudnn
from vidjax.ops.attention.cudnn import obstacle as cudnn_obstacle
from vidjax.ops.attention.fused import by_platform, pallas_tpu, sequences_at_once, short_by_platform, tiled
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
        128 queries or keys; for others `pallas_tpu` on a TPU and, where logits are many, `tiled` on a CPU. A TPU's
        kernel also takes short sequences whose length is a power of two: as many for one as the rows of a device can
        be divided by, if they have 128 tokens together. One that is not finite makes those beside it NaN.

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
        if implementation == "xla" and mask is None and not is_causal:
            if min(q.shape[1], k.shape[1]) >= SHORT:
                return by_platform(q, k, v, scale)
            if sequences_at_once(q, k) * q.shape[1] >= SHORT:
                return short_by_platform(q, k, v, scale)
    elif implementation not in IMPLEMENTATIONS:
        raise ConfigError(f"attention={implementation!r} is unknown; choose one of {', '.join(IMPLEMENTATIONS)}")
    return IMPLEMENTATIONS[implementation](q, k, v, mask, is_causal, scale)


IMPLEMENTATIONS = {"xla": xla, "blocked": blocked, "tiled": tiled, "pallas_tpu": pallas_tpu, "cudnn": cudnn}
