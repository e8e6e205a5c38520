"""Attention without a mask that keeps its output and one number a query for the backward pass, but no logits.

Which form computes it is settled when the program is lowered, so that a TPU's is right under compile-only lowering too.
On a mesh each device takes its own rows and heads: neither a kernel nor a loop would be partitioned otherwise.
"""

import functools

import jax
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from vidjax.errors import ConfigError
from vidjax.ops.attention import pallas_tpu_kernels as kernels
from vidjax.ops.attention import tiles

VMEM = 64 * 2**20  # bytes of a core, at least, in the TPUs since v5e
SMALL_VMEM = {"TPU v2": 2**24, "TPU v3": 2**24, "TPU v4": 2**24}
KEPT = "attention"  # what the forward pass saves, for rematerialisation policies


def tiled(q, k, v, mask, is_causal, scale):
    """A tile of queries of one head after another."""
    _refuse_masks("tiled", mask, is_causal)
    return _attention(q, k, v, scale, "tiled")


def pallas_tpu(q, k, v, mask, is_causal, scale):
    """A TPU kernel that keeps keys, values and logits in the memory of a core."""
    _refuse_masks("pallas_tpu", mask, is_causal)
    if reason := _obstacle(q, k):
        raise ConfigError(f"attention='pallas_tpu' cannot run here: {reason}; use attention='tiled' or leave it empty")
    return _attention(q, k, v, scale, "pallas_tpu")


def by_platform(q, k, v, scale):
    """The kernel on a TPU if it takes these shapes; tiles where a head's logits are too many for a cache."""
    return _attention(q, k, v, scale, None)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _attention(q, k, v, scale, form):
    return _forward(q, k, v, scale, form)[0]


def _forward(q, k, v, scale, form):
    split, numbers = _specs(q)
    out, lse = _on_each_device(_runner(0, scale, form), (split,) * 3, (split, numbers))(q, k, v)
    out, lse = checkpoint_name(out, KEPT), checkpoint_name(lse, KEPT)
    return out, (q, k, v, out, lse)


def _backward(scale, form, residuals, dout):
    split, numbers = _specs(dout)
    run = _on_each_device(_runner(1, scale, form), (*(split,) * 4, numbers, split), (split,) * 3)
    return run(*residuals, dout)


_attention.defvjp(_forward, _backward)


def _runner(direction: int, scale: float, form: str | None):
    """Forward (0) or backward (1), in one form or in that of the platform."""

    def run(*operands):
        forms = {"default": form} if form else _forms(*operands[:2])
        return jax.lax.platform_dependent(
            *operands, **{name: functools.partial(_FORMS[form][direction], scale=scale) for name, form in forms.items()}
        )

    return run


def _forms(q, k) -> dict[str, str]:
    """Platform to form."""
    portable = "tiled" if q.shape[1] * k.shape[1] > tiles.CACHED else "whole"
    return {"tpu": portable if _obstacle(q, k) else "pallas_tpu", "cpu": portable, "default": "whole"}


def _kernel_forward(q, k, v, *, scale):
    out, lse = kernels.forward(*map(_side_by_side, (q, k, v)), q.shape[2], scale)
    return out.reshape(q.shape), lse


def _kernel_backward(q, k, v, out, lse, dout, *, scale):
    q, k, v, out, dout = map(_side_by_side, (q, k, v, out, dout))
    gradients = kernels.backward(q, k, v, out, lse, dout, lse.shape[1], scale)
    return tuple(rearrange(x, "b n (h d) -> b n h d", h=lse.shape[1]) for x in gradients)


def _side_by_side(x):
    return rearrange(x, "b n h d -> b n (h d)")


_FORMS = {
    "pallas_tpu": (_kernel_forward, _kernel_backward),
    "tiled": (tiles.tiled_forward, tiles.tiled_backward),
    "whole": (tiles.forward, tiles.backward),
}


def _specs(q) -> tuple[P, P]:
    """Where arrays (b n h d) and (b h n) lie on the ambient mesh: as far as rows and heads can be divided."""
    mesh = jax.sharding.get_abstract_mesh()
    free = {name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Auto}
    rows = tuple(axis for axis in ("data", "fsdp") if axis in free and mesh.shape[axis] > 1)
    count = functools.reduce(lambda size, axis: size * mesh.shape[axis], rows, 1)
    rows = rows if rows and q.shape[0] % count == 0 else None
    heads = (
        "tensor" if "tensor" in free and mesh.shape["tensor"] > 1 and q.shape[2] % mesh.shape["tensor"] == 0 else None
    )
    return P(rows, None, heads, None), P(rows, heads, None)


def _on_each_device(function, in_specs, out_specs):
    if in_specs[0] == P(None, None, None, None):
        return function
    return jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def _refuse_masks(name: str, mask, is_causal: bool) -> None:
    if mask is not None or is_causal:
        raise ConfigError(f"attention={name!r} knows no masks; use attention='xla' or leave it empty")


def _obstacle(q, k) -> str | None:
    """Why the kernel cannot take these shapes, or None if it can."""
    if q.dtype not in ("float32", "bfloat16") or k.dtype != q.dtype:
        return f"inputs are {q.dtype} and {k.dtype}, it takes float32 or bfloat16"
    vmem = SMALL_VMEM.get(_device_kind(), VMEM)
    needed = kernels.vmem_bytes(q.shape[1], k.shape[1], *q.shape[2:], q.dtype.itemsize)
    if needed > vmem:
        return f"{k.shape[1]} keys and values of a few heads need {needed / 1e6:.0f} MB of a core's {vmem / 1e6:.0f} MB"
    return None


def _device_kind() -> str | None:
    """Of the mesh, which may be one to compile for only, or else of this machine."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device.device_kind if device else jax.devices()[0].device_kind
