"""Unmasked attention that saves its output and one number per query for the backward pass, but no logits.

The platform is known only when the program is lowered, so the code is chosen then. A program that is compiled for a TPU
on another machine gets the TPU kernel.
"""

import functools
import math

import jax
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec as P

from vidjax.errors import ConfigError
from vidjax.ops import platforms
from vidjax.ops.attention import pallas_tpu_kernels as kernels
from vidjax.ops.attention import splash_tpu, tiles
from vidjax.ops.attention.mesh import on_each_device, shares
from vidjax.ops.tpu import core_memory

KEPT = "attention"  # the name by which rematerialisation policies select the arrays that the forward pass saves

WORTHWHILE = 32  # the fewest tokens for which `kernel_on_tpu` uses the kernel


def tiled(q, k, v, mask, is_causal, scale):
    """Compute attention in portable JAX, one tile of one head's queries at a time."""
    _refuse_masks("tiled", mask, is_causal)
    return _with_heads(q, k, v, scale, "tiled")


def pallas_tpu(q, k, v, mask, is_causal, scale):
    """Compute attention with a TPU kernel that keeps keys, values and logits in a core's memory."""
    _refuse_masks("pallas_tpu", mask, is_causal)
    _refuse_types("pallas_tpu", q, k)
    if reason := _obstacle(*map(_side_by_side, (q, k)), q.shape[2]):
        raise ConfigError(f"attention='pallas_tpu' cannot run here: {reason}; use attention='splash' or leave it empty")
    return _with_heads(q, k, v, scale, "pallas_tpu")


def splash(q, k, v, mask, is_causal, scale):
    """Compute attention with JAX's own TPU kernels, which stream any number of keys and values block by block."""
    _refuse_masks("splash", mask, is_causal)
    _refuse_types("splash", q, k)
    return splash_tpu.attend(q, k, v, scale, KEPT)


def by_platform(q, k, v, scale):
    """Use a TPU kernel on a TPU, and plain JAX elsewhere or for dtypes other than float32 and bfloat16.

    The TPU kernel is vidjax's own, or JAX's if the keys do not fit in a core.
    """
    portable = functools.partial(_with_heads, scale=scale, form=None)
    if _wrong_types(q, k) or not _obstacle(*_of_a_device(q, k)):
        return portable(q, k, v)
    streamed = functools.partial(splash_tpu.attend, scale=scale, name=KEPT)
    return platforms.dispatch(q, k, v, tpu=streamed, default=portable)


def kernel_on_tpu(q, k, v, default):
    """Use vidjax's kernel on a TPU from 32 tokens up, if it can run, and `default` otherwise.

    From that length on, the kernel's padding costs less than the copies around XLA's products.
    """
    if min(q.shape[1], k.shape[1]) < WORTHWHILE or _wrong_types(q, k) or _obstacle(*_of_a_device(q, k)):
        return default(q, k, v)
    kernel = functools.partial(_with_heads, scale=q.shape[-1] ** -0.5, form="pallas_tpu")
    return platforms.dispatch(q, k, v, tpu=kernel, default=default)


def over_time(q, k, v, scale, places):
    """Run the kernel on tokens (b t s h d) without transposing them, for `places` of the s places at once."""
    joined = (rearrange(x, "b t s h d -> b t s (h d)") for x in (q, k, v))
    return _attention(*joined, q.shape[3], scale, "pallas_tpu", places).reshape(q.shape)


def places_at_once(q, k) -> int:
    """Return how many places of q and k (b t s h d) the kernel takes at once, or 0 if it would be slower or cannot run.

    The kernel treats the tokens of several places as one sequence, and masks the logits between different places. With
    more than 16 tokens per place, it is cheaper to transpose the arrays and attend within each place.
    """
    tokens = max(q.shape[1], k.shape[1])
    places = 2 ** int(math.log2(min(kernels.PAIR / tokens, kernels.LANES)))
    joined = (jax.ShapeDtypeStruct((*x.shape[:3], x.shape[3] * x.shape[4]), x.dtype) for x in (q, k))
    return places if places >= kernels.SUBLANES and not _obstacle(*joined, q.shape[3], places) else 0


def _with_heads(q, k, v, scale, form):
    return _attention(*map(_side_by_side, (q, k, v)), q.shape[2], scale, form, 0).reshape(q.shape)


def _side_by_side(x):
    """Merge heads and their channels into one axis, as projections return them; a TPU copies arrays to split it."""
    return rearrange(x, "b n h d -> b n (h d)")


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5, 6))
def _attention(q, k, v, heads, scale, form, places):
    return _forward(q, k, v, heads, scale, form, places)[0]


def _forward(q, k, v, heads, scale, form, places):
    run, array, numbers = _local(0, q, heads, scale, form, places)
    out, lse = on_each_device(run, (array,) * 3, (array, numbers))(q, k, v)
    out, lse = checkpoint_name(out, KEPT), checkpoint_name(lse, KEPT)
    return out, (q, k, v, out, lse)


def _backward(heads, scale, form, places, residuals, dout):
    run, array, numbers = _local(1, dout, heads, scale, form, places)
    return on_each_device(run, (*(array,) * 4, numbers, array), (array,) * 3)(*residuals, dout)


_attention.defvjp(_forward, _backward)

FORMS = {
    "pallas_tpu": (kernels.forward, kernels.backward),
    "tiled": (tiles.tiled_forward, tiles.tiled_backward),
    "whole": (tiles.forward, tiles.backward),
}


def _local(direction: int, q, heads: int, scale: float, form: str | None, places: int):
    """Return the function that a device runs, and the partition specs of arrays (b *n h*d) and (b h n).

    The function is the forward pass if `direction` is 0, and the backward pass if it is 1. The specs shard rows and
    heads over the mesh if they divide evenly.
    """
    rows, tensor, heads = shares(q.shape[0], heads)

    def run(*operands):
        forms = {"default": form} if form else _forms(*operands[:2], heads)
        functions = {platform: FORMS[name][direction] for platform, name in forms.items()}
        options = {"heads": heads, "scale": scale} | ({"places": places} if places else {})
        return platforms.dispatch(
            *operands, **{platform: functools.partial(f, **options) for platform, f in functions.items()}
        )

    return run, P(rows, *(None,) * (q.ndim - 2), tensor), P(rows, tensor, None)


def _forms(q, k, heads: int) -> dict[str, str]:
    """Return the key of `FORMS` for each platform."""
    portable = "tiled" if q.shape[1] * k.shape[1] > tiles.CACHED else "whole"
    return {"tpu": portable if _obstacle(q, k, heads) else "pallas_tpu", "cpu": portable, "default": "whole"}


def _of_a_device(q, k):
    """Return the shapes and dtypes of q and k (b n h*d) with one device's heads, and the number of these heads."""
    heads = shares(q.shape[0], q.shape[2]).heads
    return *(jax.ShapeDtypeStruct((*x.shape[:2], heads * x.shape[3]), x.dtype) for x in (q, k)), heads


def _refuse_masks(name: str, mask, is_causal: bool) -> None:
    if mask is not None or is_causal:
        raise ConfigError(f"attention={name!r} supports no masks; use attention='xla' or leave it empty")


def _refuse_types(name: str, q, k) -> None:
    if reason := _wrong_types(q, k):
        raise ConfigError(f"attention={name!r} cannot run here: {reason}; use attention='tiled' or leave it empty")


def _obstacle(q, k, heads: int, places: int = 0) -> str | None:
    """Return the reason why the kernel cannot take these inputs, or None if it can."""
    if reason := _wrong_types(q, k):
        return reason
    vmem = core_memory()
    needed = kernels.vmem_bytes(q, k, heads, places)
    if needed > vmem:
        return f"{k.shape[1]} keys and values need {needed / 1e6:.0f} MB, but a core has {vmem / 1e6:.0f} MB"
    return None


def _wrong_types(q, k) -> str | None:
    """Return the reason why TPU kernels cannot take inputs of these dtypes, or None if they can."""
    if q.dtype in ("float32", "bfloat16") and k.dtype == q.dtype:
        return None
    return f"inputs are {q.dtype} and {k.dtype}, but both must be float32 or both bfloat16"
