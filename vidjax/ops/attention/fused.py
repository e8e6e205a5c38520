"""Attention without a mask that keeps its output and one number a query for the backward pass, but no logits.

Which form computes it is settled when the program is lowered, so that a TPU's is right under compile-only lowering too.
On a mesh each device takes its own rows and heads: neither a kernel nor a loop would be partitioned otherwise.
"""

import functools
import math

import jax
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec as P

from vidjax.errors import ConfigError
from vidjax.ops.attention import pallas_tpu_kernels as kernels
from vidjax.ops.attention import tiles
from vidjax.ops.mesh_axes import ROWS, TENSOR, free_axes
from vidjax.ops.tpu import core_memory

KEPT = "attention"  # what the forward pass saves, for rematerialisation policies


def tiled(q, k, v, mask, is_causal, scale):
    """A tile of queries of one head after another."""
    _refuse_masks("tiled", mask, is_causal)
    return _with_heads(q, k, v, scale, "tiled")


def pallas_tpu(q, k, v, mask, is_causal, scale):
    """A TPU kernel that keeps keys, values and logits in the memory of a core."""
    _refuse_masks("pallas_tpu", mask, is_causal)
    if reason := _obstacle(*map(_side_by_side, (q, k)), q.shape[2]):
        raise ConfigError(f"attention='pallas_tpu' cannot run here: {reason}; use attention='tiled' or leave it empty")
    return _with_heads(q, k, v, scale, "pallas_tpu")


def by_platform(q, k, v, scale):
    """The kernel on a TPU if it takes these shapes; tiles where a head's logits are too many for a cache."""
    return _with_heads(q, k, v, scale, None)


def over_time(q, k, v, scale, places):
    """The kernel for tokens (b t s h d) as they lie, so many of the s places at once."""
    joined = (rearrange(x, "b t s h d -> b t s (h d)") for x in (q, k, v))
    return _attention(*joined, q.shape[3], scale, "pallas_tpu", places).reshape(q.shape)


def places_at_once(q, k) -> int:
    """How many places of q and k (b t s h d) the kernel takes at once: as many as fill a turn, if it takes them; or 0.

    The tokens of that many places are one sequence for the kernel, most of whose logits are hidden: with more tokens
    in a place, moving them together costs less.
    """
    tokens = max(q.shape[1], k.shape[1])
    places = 2 ** int(math.log2(min(kernels.PAIR / tokens, kernels.LANES)))
    joined = (jax.ShapeDtypeStruct((*x.shape[:3], x.shape[3] * x.shape[4]), x.dtype) for x in (q, k))
    return places if places >= kernels.SUBLANES and not _obstacle(*joined, q.shape[3], places) else 0


def _with_heads(q, k, v, scale, form):
    return _attention(*map(_side_by_side, (q, k, v)), q.shape[2], scale, form, 0).reshape(q.shape)


def _side_by_side(x):
    """Heads as projections make them and memory holds them best: an axis of its own costs a TPU copies."""
    return rearrange(x, "b n h d -> b n (h d)")


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5, 6))
def _attention(q, k, v, heads, scale, form, places):
    return _forward(q, k, v, heads, scale, form, places)[0]


def _forward(q, k, v, heads, scale, form, places):
    run, array, numbers = _local(0, q, heads, scale, form, places)
    out, lse = _on_each_device(run, (array,) * 3, (array, numbers))(q, k, v)
    out, lse = checkpoint_name(out, KEPT), checkpoint_name(lse, KEPT)
    return out, (q, k, v, out, lse)


def _backward(heads, scale, form, places, residuals, dout):
    run, array, numbers = _local(1, dout, heads, scale, form, places)
    return _on_each_device(run, (*(array,) * 4, numbers, array), (array,) * 3)(*residuals, dout)


_attention.defvjp(_forward, _backward)

FORMS = {
    "pallas_tpu": (kernels.forward, kernels.backward),
    "tiled": (tiles.tiled_forward, tiles.tiled_backward),
    "whole": (tiles.forward, tiles.backward),
}


def _local(direction: int, q, heads: int, scale: float, form: str | None, places: int):
    """What a device computes, forward (0) or backward (1), and how arrays (b *n h*d) and (b h n) lie on the mesh.

    Rows and heads are divided as far as they can be; without a mesh they are not.
    """
    free = free_axes()
    rows = tuple(axis for axis in ROWS if free.get(axis, 1) > 1)
    if not rows or q.shape[0] % math.prod(free[axis] for axis in rows):
        rows = None
    groups, tensor = free.get(TENSOR, 1), TENSOR
    if groups == 1 or heads % groups:
        groups, tensor = 1, None

    def run(*operands):
        forms = {"default": form} if form else _forms(*operands[:2], heads // groups)
        functions = {platform: FORMS[name][direction] for platform, name in forms.items()}
        options = {"heads": heads // groups, "scale": scale} | ({"places": places} if places else {})
        return jax.lax.platform_dependent(
            *operands, **{platform: functools.partial(f, **options) for platform, f in functions.items()}
        )

    return run, P(rows, *(None,) * (q.ndim - 2), tensor), P(rows, tensor, None)


def _on_each_device(function, in_specs, out_specs):
    """On a mesh all axes are mapped, those that cannot share rows or heads too: a kernel is never partitioned."""
    free = free_axes()
    if math.prod(free.values()) == 1:
        return function
    return jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, axis_names=set(free), check_vma=False)


def _forms(q, k, heads: int) -> dict[str, str]:
    """Platform to form."""
    portable = "tiled" if q.shape[1] * k.shape[1] > tiles.CACHED else "whole"
    return {"tpu": portable if _obstacle(q, k, heads) else "pallas_tpu", "cpu": portable, "default": "whole"}


def _refuse_masks(name: str, mask, is_causal: bool) -> None:
    if mask is not None or is_causal:
        raise ConfigError(f"attention={name!r} knows no masks; use attention='xla' or leave it empty")


def _obstacle(q, k, heads: int, places: int = 0) -> str | None:
    """Why the kernel cannot take these inputs, or None if it can."""
    if q.dtype not in ("float32", "bfloat16") or k.dtype != q.dtype:
        return f"inputs are {q.dtype} and {k.dtype}, it takes float32 or bfloat16"
    vmem = core_memory()
    needed = kernels.vmem_bytes(q, k, heads, places)
    if needed > vmem:
        return f"{k.shape[1]} keys and values of a few heads need {needed / 1e6:.0f} MB of a core's {vmem / 1e6:.0f} MB"
    return None
