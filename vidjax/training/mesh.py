"""The device mesh and the sharding of batches, parameters and optimiser state.

Modules carry no sharding. Tensor parallelism shards a parameter by its path, with an ordered table of rules. Fully
sharded data parallelism then shards one of the remaining dimensions (see `_divided`).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax.config import MeshConfig
from vidjax.errors import ConfigError
from vidjax.models.param_paths import path_name
from vidjax.ops.mesh_axes import AXES, FSDP, ROWS, TENSOR, count_slices, mesh_of, row_blocks

# The first rule whose pattern occurs in a parameter's path applies. Specs are aligned to the last dimensions, so that
# they hold with and without the stacked layer axis: qkv (.. d 3 h dh), q_bias (.. h dh), proj (.. h dh d).
TENSOR_RULES = (
    (r"qkv/kernel$", P(TENSOR, None)),
    (r"(qkv/bias|[qkv]_bias)$", P(TENSOR, None)),
    (r"(^|/)proj/kernel$", P(TENSOR, None, None)),
    (r"fc1/kernel$", P(TENSOR)),
    (r"fc1/bias$", P(TENSOR)),
    (r"fc2/kernel$", P(TENSOR, None)),
)


# The number of TPU chips over which parameters are sharded by default. Each chip then does an eighth of the optimiser's
# work, and summing a gradient sends half the bytes of an all-reduce. More chips would form no ring, and would send more
# (docs/performance.md).
PARAMETERS_OVER = 8


def make_mesh(config: MeshConfig, devices=None) -> Mesh:
    """Arrange the devices as (data, fsdp, tensor); a size of -1 takes the devices that the other sizes leave.

    Args:
      config: the sizes, of which at most one is -1. If fsdp is 0, it is chosen by platform.
      devices: by default all devices of all processes.

    Raises:
      ConfigError: when a size is invalid, the sizes do not multiply to the number of devices, `config.slices` is not
        the number of slices, or an axis other than data spans slices.
    """
    devices = jax.devices() if devices is None else devices
    config = dataclasses.replace(config, fsdp=config.fsdp or _fsdp(config, devices))
    sizes = [getattr(config, axis) for axis in AXES]
    shown = ", ".join(f"mesh.{axis}={size}" for axis, size in zip(AXES, sizes, strict=True))
    if sizes.count(-1) > 1 or any(size == 0 or size < -1 for size in sizes):
        raise ConfigError(f"{shown}: each size must be at least 1, and one of them may be -1")
    known = math.prod(size for size in sizes if size != -1)
    if len(devices) % known or (-1 not in sizes and known != len(devices)):
        raise ConfigError(f"{shown} do not multiply to {len(devices)} devices; change a size, or set one of them to -1")
    sizes, slices = [len(devices) // known if size == -1 else size for size in sizes], count_slices(devices)
    if config.slices not in (0, slices):
        raise ConfigError(
            f"mesh.slices={config.slices} is not the number of slices of the {len(devices)} devices; use 0 or {slices}"
        )
    if sizes[0] % slices:
        raise ConfigError(
            f"{shown}: the devices belong to {slices} slices, so mesh.data must be a multiple of {slices}; use such a "
            f"multiple, as in mesh.data={slices}, and a smaller mesh.fsdp or mesh.tensor"
        )
    return mesh_of(sizes, devices)


def _fsdp(config: MeshConfig, devices: Sequence[jax.Device]) -> int:
    """The number of devices over which to shard parameters when the configuration leaves it open."""
    rest = len(devices) // count_slices(devices) // max(config.tensor, 1)
    divides = config.data == -1 and rest % PARAMETERS_OVER == 0
    return PARAMETERS_OVER if divides and devices[0].platform == "tpu" else 1


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Shard rows over data and fsdp; the devices of a tensor group see the same rows."""
    return NamedSharding(mesh, P(ROWS))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that puts the same value on every device."""
    return NamedSharding(mesh, P())


def mirrored_blocks(mesh: Mesh) -> int:
    """The number of row blocks, doubled if it is odd, so that every block has a mirror image in the batch."""
    blocks = row_blocks(mesh)
    return blocks if blocks % 2 == 0 else 2 * blocks


def check_rows(mesh: Mesh, videos: int, clips_per_decode: int, accumulate: int, *, pairs: bool = False) -> None:
    """Refuse a batch that the mesh or the micro-batches do not divide.

    Args:
      pairs: whether rows are mixed in pairs, which micro-batches must not separate.

    Raises:
      ConfigError: naming the batch, the divisor and the next batch that fits.
    """
    blocks = _blocks(mesh, accumulate, pairs)
    rows, divisor = videos * clips_per_decode, blocks * accumulate
    if rows % divisor:
        step = divisor // math.gcd(divisor, clips_per_decode)
        raise ConfigError(
            f"a batch of {rows} clips (data.global_batch={videos} x data.clips_per_decode={clips_per_decode}) is not a "
            f"multiple of {divisor} = {blocks} blocks of rows x train.accumulate={accumulate}; "
            f"use a data.global_batch that is a multiple of {step}, such as {-(-videos // step) * step}"
        )


def check_groups(mesh: Mesh, rows: int, group: int, accumulate: int) -> None:
    """Refuse groups of rows that do not fill the batch, or that micro-batches would split.

    Args:
      group: rows per group; 0 for none.

    Raises:
      ConfigError: naming the batch, the group and the remedy.
    """
    if group and rows % group:
        raise ConfigError(
            f"a batch of {rows} clips is not a multiple of data.mix_group={group}; make data.global_batch x "
            f"data.clips_per_decode a multiple of it, or use data.mix_group={math.gcd(rows, group)}, or 0"
        )
    own = rows // row_blocks(mesh)
    if group and accumulate > 1 and own % (group * accumulate):
        ways = []
        if own % group == 0:
            ways.append(f"train.accumulate={math.gcd(accumulate, own // group)}")
        if (smaller := math.gcd(group, own // accumulate)) > 1:
            ways.append(f"data.mix_group={smaller}")
        raise ConfigError(
            f"the {own} clips per device do not divide into {accumulate} micro-batches (train.accumulate) of "
            f"whole groups of data.mix_group={group}; use {', or '.join([*ways, 'data.mix_group=0'])}"
        )


def smallest_rows(mesh: Mesh, group: int, accumulate: int, *, pairs: bool = False) -> int:
    """The fewest rows that `check_rows` and `check_groups` accept; their multiples are valid too."""
    blocks = _blocks(mesh, accumulate, pairs)
    return blocks * accumulate * max(group, 1) if accumulate > 1 else math.lcm(blocks, group or 1)


def _blocks(mesh: Mesh, accumulate: int, pairs: bool) -> int:
    """The number of equal blocks of rows, each cut into micro-batches; even if these must keep pairs together."""
    return mirrored_blocks(mesh) if pairs and accumulate > 1 else row_blocks(mesh)


def loader_slice(mesh: Mesh) -> tuple[int, int]:
    """The part of the rows that this process must load, as (p, P): part p of P equal parts.

    Processes that hold the same rows (a tensor axis over several hosts) get the same part.

    Raises:
      ConfigError: when processes hold unequal or overlapping parts.
    """
    processes = np.vectorize(lambda device: device.process_index)(mesh.devices)
    return part_of_rows(processes, jax.process_index())


def part_of_rows(processes: np.ndarray, own: int) -> tuple[int, int]:
    """Compute `loader_slice` from the process of each device on the (data, fsdp, tensor) grid."""
    by_block = processes.reshape(-1, processes.shape[-1])  # rows of a batch are sharded over data, then over fsdp
    held = {int(p): tuple(np.flatnonzero((by_block == p).any(axis=1)).tolist()) for p in np.unique(processes)}
    parts = sorted(set(held.values()))
    if sum(map(len, parts)) != len(by_block) or len({len(part) for part in parts}) != 1:
        raise ConfigError(
            f"mesh data x fsdp x tensor = {' x '.join(map(str, processes.shape))} gives the processes unequal or "
            "overlapping rows of a batch; make mesh.tensor a divisor or a multiple of the number of devices of a host"
        )
    return parts.index(held[own]), len(parts)


def global_batch(local: dict[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Send this process's rows to its devices as shards of global arrays; 64-bit integers become 32-bit."""
    narrow = {key: value.astype(np.int32) if value.dtype == np.int64 else value for key, value in local.items()}
    return {key: jax.make_array_from_process_local_data(sharding, value) for key, value in narrow.items()}


def param_shardings(shapes, mesh: Mesh, fsdp_min_size: int):
    """A `NamedSharding` for every leaf of a tree of parameters, or of a state that holds such trees.

    Args:
      shapes: arrays or `ShapeDtypeStruct`s. Rules match a leaf's path, so the optimiser's moments and the moving
        average are sharded like their parameters.
      mesh: axes (data, fsdp, tensor).
      fsdp_min_size: number of elements, per layer in stacked blocks; smaller leaves are not sharded over fsdp.

    Raises:
      ConfigError: when the tensor axis does not divide a dimension that a rule gives it.
    """

    def place(path, leaf) -> NamedSharding:
        name = path_name(path)
        return NamedSharding(mesh, _spec(name, leaf.shape, mesh, fsdp_min_size))

    return jax.tree_util.tree_map_with_path(place, shapes)


def _spec(name: str, shape: tuple[int, ...], mesh: Mesh, fsdp_min_size: int) -> P:
    axes: list[str | None] = [None] * len(shape)
    if mesh.shape[TENSOR] > 1:
        rule = next((spec for pattern, spec in TENSOR_RULES if re.search(pattern, name)), P())
        for dim, axis in enumerate(rule, start=len(shape) - len(rule)):
            axes[dim] = axis
            if axis and shape[dim] % mesh.shape[axis]:
                raise ConfigError(
                    f"mesh.tensor={mesh.shape[axis]} does not divide dimension {dim} of {name} {shape}; "
                    f"choose a divisor of {shape[dim]}"
                )
    size, first = mesh.shape[FSDP], 1 if "blocks" in name.split("/") else 0  # axis 0 of stacked blocks is scanned over
    if size > 1 and math.prod(shape[first:]) >= fsdp_min_size:
        free = [dim for dim in range(first, len(shape)) if axes[dim] is None and shape[dim] % size == 0]
        if free:
            axes[_divided(name, shape, free)] = FSDP
    return P(*axes)


def _divided(name: str, shape: tuple[int, ...], free: list[int]) -> int:
    """The dimension of a parameter that fsdp shards, chosen from the `free` dimensions.

    For a kernel it is the dimension of its rows: `vidjax.models.layers.product` gathers the kernel along it, and a
    block of rows is contiguous in a TPU's memory. In attention's output projection, whose rows belong to heads, it is
    the last dimension. For any other parameter it is the largest dimension.
    """
    if re.search(r"(^|/)proj/kernel$", name):
        return free[-1]
    return free[0] if name.endswith("kernel") else max(free, key=lambda dim: shape[dim])


def place_like(values: np.ndarray, leaf: jax.Array) -> jax.Array:
    """Put host values on the devices with the dtype and sharding of another array."""
    values = np.asarray(values, leaf.dtype)
    return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda index: values[index])
