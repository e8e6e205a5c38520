"""Choose micro-batches and rematerialisation so that a training step fits the machine, before the run starts.

The memory that a step keeps for its backward pass is estimated by tracing it with a few rows and with twice as many,
which takes a moment. A step that should fit is then compiled, and the compiler's memory analysis decides. The run uses
that compiled step.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding

from vidjax.config import Config, left_open, with_keys
from vidjax.data.machine import free_host_memory
from vidjax.errors import ConfigError
from vidjax.models.param_paths import split
from vidjax.ops.mesh_axes import row_blocks
from vidjax.training.choices.platform import remat_choices, tokens_of
from vidjax.training.mesh import mirrored_blocks
from vidjax.training.optim.freezing import form
from vidjax.training.random_streams import streams
from vidjax.training.run_step import RunStep
from vidjax.training.state import TrainState

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # in a compiler's error message
SHARE = 0.9  # the share of the free memory that the estimate for a step may take
# Small micro-batches are tried last: those with fewer rows per device than the first limit, if these rows together
# hold fewer tokens than the second. Their small matrix products cost more than recomputing.
ROWS_A_DEVICE, TOKENS_A_DEVICE = 4, 8192
KERNEL_ROWS = 8  # rows per device that every kernel can take; with fewer, other code runs and keeps more for gradients
_FASTEST = {"train.accumulate": 1, "model.remat": "none"}  # the fastest values of the keys chosen here


@dataclasses.dataclass(frozen=True)
class Fit:
    """A step that fits.

    Attributes:
      config: the configuration with train.accumulate and model.remat as chosen.
      step: the step before compilation.
      call: the compiled function of (state, batch).
      needed, free: bytes per device; None if the platform does not report them.
      seconds: time that compiling took.
    """

    config: Config
    step: RunStep
    call: Callable[[TrainState, Any], tuple[TrainState, dict]]
    needed: int | None
    free: int | None
    seconds: float


def fit_step(config: Config, build: Callable[[Config], RunStep], batch: dict[str, jax.ShapeDtypeStruct] | None) -> Fit:
    """Choose train.accumulate and model.remat unless the configuration sets them, and compile the step.

    Args:
      build: builds the step of a configuration.
      batch: shapes of the global batch, with shardings. None if they are unknown before the first batch; the open keys
        then get their fastest values, and the step is compiled on its first call.

    Raises:
      ConfigError: when no step fits, with the memory it would need and the remedies.
    """
    if batch is None:
        config = with_keys(config, {key: value for key, value in _FASTEST.items() if key in left_open(config)})
        step = build(config)
        return Fit(config, step, step.call, None, None, 0.0)
    free, tried = _least(free_memory()), []
    eager = jax.default_backend() == "cpu"
    for candidate, step in candidates(config, build, batch, free, eager=eager):
        since = time.monotonic()
        try:
            compiled = step.call.lower(step.shapes, batch).compile()
        except jax.errors.JaxRuntimeError as error:
            if OUT_OF_MEMORY not in str(error):
                raise
            tried.append(estimate_memory(step, batch, candidate.train.accumulate))
            continue
        needed, seconds = _compiled_memory(compiled), time.monotonic() - since
        if needed is None or free is None or needed <= free:
            return Fit(candidate, step, compiled, needed, free, seconds)
        tried.append(needed)
    raise ConfigError(_too_large(config, min(tried), free or 0))


def candidates(
    config: Config,
    build: Callable[[Config], RunStep],
    batch: dict[str, jax.ShapeDtypeStruct],
    free: int | None,
    *,
    eager: bool = False,
) -> Iterator[tuple[Config, RunStep]]:
    """Yield configurations that are estimated to fit, and their steps, from the fastest to the most frugal.

    The last one, which takes the least memory, is always yielded.

    Args:
      build, batch: as for `fit_step`.
      free: free bytes per device; None if unknown, in which case all are yielded.
      eager: always yield the first one too, because compiling a small step can be quicker than estimating its memory.
    """
    found = list(_closed(config, _mesh(batch), _rows(batch)))
    for candidate in found:
        step = build(candidate)
        certain = free is None or candidate is found[-1] or (eager and candidate is found[0])
        if certain or estimate_memory(step, batch, candidate.train.accumulate) <= SHARE * free:
            yield candidate, step


def free_memory() -> int | None:
    """Free bytes on one of this process's devices; None if unknown."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        host = free_host_memory()
        return host and host // jax.local_device_count()
    stats = device.memory_stats() or {}
    limit = stats.get("bytes_limit")
    return limit and limit - stats.get("bytes_in_use", 0)


def _least(free: int | None) -> int | None:
    """The least free memory over all processes of the run, so that all make the same choice."""
    if jax.process_count() == 1:
        return free
    least = multihost_utils.process_allgather(np.float64(free or 0)).min()
    return int(least) or None


def estimate_memory(step: RunStep, batch: dict[str, jax.ShapeDtypeStruct], accumulate: int) -> int:
    """Bytes per device for the state, gradients, the batch, and what one micro-batch keeps for the backward pass.

    When gradients are clipped per group, a group takes the place of a micro-batch.
    """
    blocks, group = row_blocks(_mesh(batch)), step.optimizer.group_clip.rows
    few = math.lcm(KERNEL_ROWS * blocks, step.objective.group or 1)  # whole groups of mixed rows
    one, two = (_kept_for_backward(step, batch, rows) for rows in (few, 2 * few))
    rows = group or _rows(batch) // blocks // accumulate
    trained, _ = split(step.shapes.params, step.objective.frozen)
    gradients = _device_bytes(trained) * (1 if accumulate == 1 and not group else 2)
    return _device_bytes(step.shapes) + gradients + 2 * _device_bytes(batch) + (two - one) * rows // few


def _closed(config: Config, mesh: Mesh, rows: int) -> Iterator[Config]:
    """Yield configurations from the fastest to the one that takes the least memory; only one if nothing is open."""
    opened = left_open(config)
    mixed = config.data.mixup > 0 or config.data.cutmix > 0
    group = config.data.mix_group if mixed else 0
    blocks, parts = row_blocks(mesh), [config.train.accumulate]
    if "train.accumulate" in opened and config.optim.clip_group:
        parts = [1]
    elif "train.accumulate" in opened:
        unit = blocks * group if group else mirrored_blocks(mesh) if mixed else blocks
        parts = [1, *(n for n in range(2, rows // blocks + 1) if rows % (n * unit) == 0)]
    remats = (config.model.remat,)
    if "model.remat" in opened:
        remats = remat_choices(config, mesh.devices.flat[0].platform)
    least = min(ROWS_A_DEVICE, -(-TOKENS_A_DEVICE // tokens_of(config)))
    large = [n for n in parts if rows // blocks // n >= least] or parts[:1]
    for remat in remats:
        for accumulate in large if remat != remats[-1] else parts:
            yield with_keys(config, {"train.accumulate": accumulate, "model.remat": remat})


def _kept_for_backward(step: RunStep, batch: dict[str, jax.ShapeDtypeStruct], rows: int) -> int:
    """Bytes that a forward pass of `rows` rows keeps for its backward pass."""
    shapes, objective = step.shapes, step.objective
    few = {name: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype) for name, leaf in batch.items()}

    def kept(trained: Any, held: Any, extra: Any, batch: dict) -> Any:
        rngs = streams(jax.random.key(0))
        return jax.vjp(lambda t: objective.loss(form(objective, t, held), extra, batch, rngs, True)[0], trained)[1]

    halves = split(shapes.params, objective.frozen)
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(jax.eval_shape(kept, *halves, shapes.extra, few)))


def _compiled_memory(compiled: jax.stages.Compiled) -> int | None:
    """Bytes that a compiled program needs at once; on platforms that report no peak, all temporary memory counts."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    if jax.default_backend() == "tpu":
        return found.peak_memory_in_bytes
    return (
        found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    )


def _device_bytes(tree: Any) -> int:
    """Bytes that one device holds of a tree of shapes with shardings."""
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _bytes(leaf: jax.ShapeDtypeStruct) -> int:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):  # random keys
        return 8 * math.prod(leaf.shape)
    return math.prod(leaf.shape) * leaf.dtype.itemsize


def _mesh(batch: dict[str, jax.ShapeDtypeStruct]) -> Mesh:
    sharding = batch["valid"].sharding
    assert isinstance(sharding, NamedSharding)
    return sharding.mesh


def _rows(batch: dict[str, jax.ShapeDtypeStruct]) -> int:
    return batch["valid"].shape[0]


def _too_large(config: Config, needed: int, free: int) -> str:
    data, batch = config.data, config.data.global_batch
    ways = ["a smaller model", "a lower data.num_frames or data.image_size"]
    if config.train.accumulate:
        ways.insert(0, f"train.accumulate=0 (chooses micro-batches; now {config.train.accumulate})")
    if config.model.remat not in ("", "full"):
        ways.insert(0, "model.remat=full")
    return (
        f"a training step of {config.model.name} with {batch} x {data.clips_per_decode} clips of {data.num_frames} "
        f"frames of {data.image_size} pixels needs about {needed / 1e9:.1f} GB per device, and {free / 1e9:.1f} GB are "
        "free; use " + ", or ".join(ways)
    )
