"""Multi-view evaluation: every video once, several clips and crops of each, merged by a declared rule.

Nothing is substituted. A video that cannot be decoded stays in the denominator and counts as wrong (DESIGN contract 6).
"""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vidjax.config import Config
from vidjax.data.loader import eval_batches
from vidjax.data.sources.base import VideoSource
from vidjax.errors import ConfigError, VideoError
from vidjax.evaluation import result_files
from vidjax.evaluation.merging import merge_views
from vidjax.evaluation.metrics import classification as metrics
from vidjax.evaluation.result_files import VideoScores

NOT_FINITE = "not_finite"  # the reason of a video that was decoded but whose merged scores hold NaN or infinity
PER_VIDEO = ("label", "valid", "decoded", "index", "failed_reason")


def make_eval_step(objective: Any, merge: str, mesh: Mesh) -> Callable[[Any, dict], dict]:
    """Compile the scoring of one global batch; keep it for later passes, as each new one compiles again.

    Views run one after the other (`lax.map`), so memory is that of a single view a video. The small results are
    replicated, which lets each process of a pod read all of them without a further gather.

    Args:
      objective: has `scores(params, clips uint8 (b t h w c)) -> logits (b classes)`.
      merge: a rule of `vidjax.evaluation.merging`.
    """

    def step(params, batch):
        video = batch["video"]

        def one_view(view):
            return objective.scores(params, jax.lax.dynamic_index_in_dim(video, view, axis=1, keepdims=False))

        logits = jax.lax.map(one_view, jnp.arange(video.shape[1]))
        return {"scores": merge_views(logits, merge), **{key: batch[key] for key in PER_VIDEO}}

    return jax.jit(step, out_shardings=NamedSharding(mesh, PartitionSpec()))


def eval_batch_size(config: Config, mesh: Mesh) -> int:
    """Videos a step over all devices.

    Raises:
      ConfigError: if the batch does not divide over the mesh's data and fsdp axes.
    """
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    batch = config.eval.batch or mesh.size
    if batch % shards:
        raise ConfigError(
            f"config.eval.batch={batch} is not a multiple of the {shards} devices along mesh.data and mesh.fsdp; "
            f"use {max(1, round(batch / shards)) * shards}"
        )
    return batch


def score_videos(
    step: Callable[[Any, dict], dict], params: Any, batches: Iterable[dict], num_videos: int, mesh: Mesh
) -> VideoScores:
    """Run `step` over this process's eval batches and put the answers in the data set's order.

    Args:
      batches: the local parts of the global batches of `vidjax.data.loader.eval_batches`.
      num_videos: rows of the data set.

    Raises:
      RuntimeError: if a row came twice or not at all, which would make the accuracy meaningless.
    """
    sharding = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
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
    finite = np.isfinite(scores).all(axis=-1)
    reasons = tuple(
        VideoError.REASONS[code] if not ok else "" if whole else NOT_FINITE
        for ok, whole, code in zip(scored, finite, reason, strict=True)
    )
    scored &= finite
    return VideoScores(np.where(scored[:, None], scores, 0), labels, scored, reasons)


def summarise(result: VideoScores, config: Config) -> dict[str, float | int | str]:
    """The flat results of a pass: accuracies as fractions of all videos (unscored = wrong), and of the scored ones."""
    top1 = metrics.top_k_hits(result.scores, result.labels, 1) & result.scored
    top5 = metrics.top_k_hits(result.scores, result.labels, 5) & result.scored
    num_scored, num_expected = int(result.scored.sum()), len(result.labels)
    classes = result.scores.shape[1]
    by_class = metrics.per_class_accuracy(result.labels, top1, classes)
    figures, counts = precision_recall_f1(result), np.bincount(result.labels, minlength=classes)
    return {
        "eval/top1": float(top1.sum() / num_expected),
        "eval/top5": float(top5.sum() / num_expected),
        "eval/top1_scored": float(top1.sum() / max(num_scored, 1)),
        "eval/mean_class_accuracy": float(np.nanmean(by_class)),
        **{f"eval/{name}": figures[name] for name in metrics.AVERAGED},
        "eval/constant_top1": float(counts.max() / num_expected),
        "eval/constant_f1_macro": _constant_f1(counts),
        **_log_loss(result, config),
        "eval/num_scored": num_scored,
        "eval/num_expected": num_expected,
        "eval/merge": config.eval.merge,
        "eval/clips": config.eval.clips,
        "eval/crops": config.eval.crops,
    }


def precision_recall_f1(result: VideoScores) -> dict[str, np.ndarray | float]:
    """Of the best class of each video; see `vidjax.evaluation.metrics.classification.precision_recall_f1`."""
    classes, scored = result.scores.shape[1], result.scored
    best = metrics.top_k(result.scores[scored], 1)[:, 0]
    confusion = metrics.confusion_matrix(result.labels[scored], best, classes)
    return metrics.precision_recall_f1(confusion, np.bincount(result.labels[~scored], minlength=classes))


def per_class(result: VideoScores, names: Sequence[str] | None) -> dict[str, float]:
    """Flat eval/{precision,recall,f1}/<class> of every class that occurs or is predicted."""
    figures, classes = precision_recall_f1(result), result.scores.shape[1]
    named = [*(names or ()), *map(str, range(len(names or ()), classes))]
    return {
        f"eval/{figure}/{name}": float(value)
        for figure in ("precision", "recall", "f1")
        for name, value in zip(named, figures[figure], strict=True)
        if not np.isnan(value)
    }


def _constant_f1(counts: np.ndarray) -> float:
    """Macro F1 of always calling the most frequent class."""
    share = counts.max() / counts.sum()
    return float(2 * share / (1 + share) / (counts > 0).sum())


def _log_loss(result: VideoScores, config: Config) -> dict[str, float]:
    """Mean negative log-likelihood of the scored videos, where their scores are probabilities that add up to 1."""
    if config.eval.merge != "mean_softmax" or not result.scored.any():
        return {}
    own = result.scores[result.scored, result.labels[result.scored]]
    return {"eval/log_loss": float(-np.log(np.maximum(own, 1e-12)).mean())}


def score_source(
    objective: Any,
    params: Any,
    source: VideoSource,
    config: Config,
    mesh: Mesh,
    *,
    merge: str = "",
    process: tuple[int, int] = (0, 1),
    step: Callable[[Any, dict], dict] | None = None,
    progress: bool = True,
) -> VideoScores:
    """Score every row of `source` once; nothing is written.

    Args:
      objective: see `make_eval_step`.
      params: the objective's parameters, placed on `mesh`.
      merge: a rule of `vidjax.evaluation.merging`; empty for config.eval.merge.
      process: this process's part (p, P) of the batch: the row block of the batch sharding, not the process index.
      step: a step of `make_eval_step` for the same objective, rule and mesh, to save its compilation.
      progress: show a bar when it takes over two seconds; False inside a run that shows its own.
    """
    step = step or make_eval_step(objective, merge or config.eval.merge, mesh)
    batch = eval_batch_size(config, mesh)
    batches = eval_batches(source, config.data, config.eval, batch=batch, process=process)
    visible = progress and jax.process_index() == 0
    with contextlib.closing(batches), _progress(batches, -(-len(source) // batch), visible=visible) as shown:
        return score_videos(step, params, shown, len(source), mesh)


def score_classifier(
    objective: Any, params: Any, source: VideoSource, config: Config, mesh: Mesh, **options
) -> tuple[dict[str, float | int | str], VideoScores]:
    """Score a classifier on every video of `source` as `score_source` does, which takes the options.

    Returns:
      The flat results, and the scores of each video.
    """
    scores = score_source(objective, params, source, config, mesh, **options)
    highest, classes = int(scores.labels.max()), scores.scores.shape[1]
    if highest >= classes:
        raise ConfigError(f"the data has label {highest}, but the model has {classes} classes; set data.num_classes")
    return summarise(scores, config), scores


def evaluate_classifier(
    objective: Any,
    params: Any,
    source: VideoSource,
    config: Config,
    mesh: Mesh,
    workdir: str | pathlib.Path,
    **options,
) -> dict[str, float | int | str]:
    """Score a classifier as `score_classifier` does, which takes the options, and write the results into `workdir`.

    Writes results.json, predictions.jsonl, confusion_matrix.csv, pictures/confusion_matrix.png and, for videos that
    could not be decoded, quarantine.jsonl; by the first process only. The caller decides what an incomplete pass means:
    compare eval/num_scored with eval/num_expected.

    Returns:
      The flat content of results.json.
    """
    results, scores = score_classifier(objective, params, source, config, mesh, **options)
    results |= per_class(scores, source.labels)
    if jax.process_index() == 0:
        result_files.write_results(pathlib.Path(workdir), results, scores, source, config.data.eval_split)
    return results


def _on_mesh(batch: dict, sharding: NamedSharding) -> dict[str, jax.Array]:
    local = {"video": batch["video"], **{key: np.asarray(batch[key]) for key in PER_VIDEO}}
    local["index"] = local["index"].astype(np.int32)  # what a device has without x64
    return {key: jax.make_array_from_process_local_data(sharding, value) for key, value in local.items()}


def one_late(outputs: Iterable[dict]) -> Iterator[dict]:
    """Fetch each output after the next step is on its way, so that the device does not wait for the host."""
    waiting = None
    for out in outputs:
        if waiting is not None:
            yield jax.device_get(waiting)
        waiting = out
    if waiting is not None:
        yield jax.device_get(waiting)


@contextlib.contextmanager
def _progress(batches: Iterable[dict], steps: int, *, visible: bool, patience: float = 2.0):
    """The same batches, with a bar once `patience` seconds have gone by."""
    columns = TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar, started = Progress(*columns, transient=True), time.monotonic()
    task = bar.add_task("", total=steps)

    def watched():
        for batch in batches:
            yield batch
            bar.advance(task)
            if visible and time.monotonic() - started > patience:
                bar.start()

    try:
        yield watched()
    finally:
        bar.stop()
