"""Multi-view evaluation: score every video once, from several clips and crops, and merge their scores by a given rule.

A video that cannot be decoded is never replaced by another: it stays in the denominator and counts as wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, UInt8

from vidjax.config import Config
from vidjax.errors import ConfigError, VideoError
from vidjax.evaluation.merge_views import merge_views
from vidjax.evaluation.result_files import VideoScores
from vidjax.ops.mesh_axes import ROWS, row_blocks

NOT_FINITE = "not_finite"  # the reason for a video that was decoded but whose merged scores hold NaN or infinity
VIDEOS_A_DEVICE = 8  # a TPU reaches 44 % of its peak with one video, 51 % with eight (docs/performance.md)
PER_VIDEO = ("label", "valid", "decoded", "index", "failed_reason")


@runtime_checkable
class Scoring(Protocol):
    """An objective that scores clips."""

    def scores(self, params: Any, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b classes"]:
        """Return logits, or the predicted values of a regression."""
        ...


def make_eval_step(objective: Scoring, merge: str, mesh: Mesh) -> jax.stages.Wrapped:
    """Make the step that scores one global batch; reuse it for later passes, because each new step compiles again.

    Views run one after the other (`lax.map`), so that memory holds the activations of only one view per video. The
    small results are replicated, so that each process of a pod can read all of them without another gather.

    Args:
      merge: a rule of `vidjax.evaluation.merge_views`.
    """

    def step(params, batch):
        scores = score_views(objective, params, batch["video"], merge)
        return {"scores": scores, **{key: batch[key] for key in PER_VIDEO}}

    return jax.jit(step, out_shardings=NamedSharding(mesh, PartitionSpec()))


def score_views(
    objective: Scoring, params: Any, video: UInt8[Array, "b v t h w c"], merge: str
) -> Float[Array, "b classes"]:
    """Score the views of each video one after the other and merge them; for use under `jax.jit`."""

    def one_view(view):
        return objective.scores(params, jax.lax.dynamic_index_in_dim(video, view, axis=1, keepdims=False))

    return merge_views(jax.lax.map(one_view, jnp.arange(video.shape[1])), merge)


def eval_batch_size(config: Config, mesh: Mesh) -> int:
    """Return the videos per step over all devices: eval.batch, or by default 8 per accelerator and 1 per CPU device.

    Raises:
      ConfigError: if the mesh's data and fsdp axes do not divide the batch evenly.
    """
    shards = row_blocks(mesh)
    a_device = 1 if mesh.devices.flat[0].platform == "cpu" else VIDEOS_A_DEVICE
    batch = config.eval.batch or mesh.size * a_device
    if batch % shards:
        raise ConfigError(
            f"config.eval.batch={batch} is not a multiple of the {shards} devices along mesh.data and mesh.fsdp; "
            f"use {max(1, round(batch / shards)) * shards}"
        )
    return batch


def score_videos(
    step: Callable[[Any, dict], dict], params: Any, batches: Iterable[dict], num_videos: int, mesh: Mesh
) -> VideoScores:
    """Run `step` over this process's batches and put the scores in the data set's order.

    Args:
      batches: the local parts of the global batches of `vidjax.data.loader.eval_batches`.
      num_videos: number of rows of the data set.

    Raises:
      RuntimeError: if a row was scored twice or not at all, which would make the accuracy meaningless.
    """
    sharding = NamedSharding(mesh, PartitionSpec(ROWS))
    seen = np.zeros(num_videos, np.int64)
    labels, reason = np.zeros(num_videos, np.int64), np.full(num_videos, -1, np.int64)
    scored, scores = np.zeros(num_videos, bool), np.zeros((num_videos, 0), np.float32)
    with jax.set_mesh(mesh):
        for out in one_late(step(params, _on_mesh(batch, sharding)) for batch in batches):
            valid = out["valid"]
            rows = out["index"][valid]
            if not scores.shape[1]:
                scores = np.zeros((num_videos, out["scores"].shape[1]), np.float32)
            np.add.at(seen, rows, 1)
            scores[rows], labels[rows] = out["scores"][valid], out["label"][valid]
            scored[rows], reason[rows] = out["decoded"][valid], out["failed_reason"][valid]
    if (seen != 1).any():
        raise RuntimeError(f"{(seen == 0).sum()} of {num_videos} videos were not evaluated, {(seen > 1).sum()} twice")
    finite = np.asarray(np.isfinite(scores).all(axis=-1))
    reasons = tuple(
        VideoError.REASONS[code] if not ok else "" if whole else NOT_FINITE
        for ok, whole, code in zip(scored, finite, reason, strict=True)
    )
    scored &= finite
    return VideoScores(np.where(scored[:, None], scores, 0), labels, scored, reasons)


def _on_mesh(batch: dict, sharding: NamedSharding) -> dict[str, jax.Array]:
    local = {"video": batch["video"], **{key: np.asarray(batch[key]) for key in PER_VIDEO}}
    local["index"] = local["index"].astype(np.int32)  # devices have no int64 without x64
    return {key: jax.make_array_from_process_local_data(sharding, value) for key, value in local.items()}


def one_late(outputs: Iterable[dict]) -> Iterator[dict]:
    """Fetch each output only after the next step is dispatched, so that the device does not wait for the host."""
    waiting = None
    for out in outputs:
        if waiting is not None:
            yield jax.device_get(waiting)
        waiting = out
    if waiting is not None:
        yield jax.device_get(waiting)


def counted(batches: Iterable[dict], advance: Callable[[int], None]) -> Iterator[dict]:
    """Yield the batches; after each, call `advance` with its number of videos before the next batch is fetched."""
    for batch in batches:
        yield batch
        advance(int(batch["valid"].sum()))
