"""The files of an evaluation: results.json, predictions.jsonl, the confusion matrix, and the list of failed videos."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rich.console import Console

from vidjax.data.sources.base import VideoSource
from vidjax.errors import VideoError
from vidjax.evaluation.metrics import classification as metrics


@dataclasses.dataclass(frozen=True)
class VideoScores:
    """What came out of one pass over a data set, in the data set's order.

    Attributes:
      scores: (n classes) float32, merged over the views; zeros where not scored.
      labels: (n,) int.
      scored: (n,) bool.
      reasons: n strings, empty where scored, else one of `VideoError.REASONS` or `not_finite`.
    """

    scores: np.ndarray
    labels: np.ndarray
    scored: np.ndarray
    reasons: tuple[str, ...]


def write_results(workdir: pathlib.Path, results: dict, result: VideoScores, source: VideoSource, split: str) -> None:
    """Write all files of one evaluation and say in one line how many videos of which split were scored."""
    from vidjax.viz.confusion import draw_confusion_matrix

    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "results.json", results)
    write_lines(workdir / "predictions.jsonl", _predictions(result, source))
    write_quarantine(workdir / "quarantine.jsonl", result.reasons, source, split)
    predictions = metrics.top_k(result.scores, 1)[:, 0]
    num_classes, scored = result.scores.shape[1], result.scored
    matrix = metrics.confusion_matrix(result.labels[scored], predictions[scored], num_classes)
    named = source.labels or ()
    names = [*named, *map(str, range(len(named), num_classes))]  # a head may have more classes than the data names
    _write_matrix(workdir / "confusion_matrix.csv", matrix, names)
    draw_confusion_matrix(matrix, names, workdir / "pictures" / "confusion_matrix.png")
    Console().print(_sentence(results, result), highlight=False)


def write_json(path: pathlib.Path, tree: dict) -> None:
    """Write one JSON object so that a reader sees the old file or the new one, never half of it."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(tree, indent=2) + "\n")
    part.replace(path)


def write_lines(path: pathlib.Path, lines: Iterable[dict]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_quarantine(path: pathlib.Path, reasons: Sequence[str], source: VideoSource, split: str) -> None:
    """Add the videos that could not be decoded, once each; `step` is null, as they are no failures of training.

    Args:
      reasons: one a row of `source`; those that are no reason of a `VideoError` are passed over.
    """
    failed = [index for index, reason in enumerate(reasons) if reason in VideoError.REASONS]
    if not failed:
        return
    lines = path.read_text().splitlines() if path.is_file() else []
    listed = {json.loads(line)["id"] for line in lines if line.endswith("}")}
    with path.open("a") as file:
        for row, reason in ((source[index], reasons[index]) for index in failed):
            if row.id not in listed:
                where = row.video if isinstance(row.video, str) else ""
                line = {"step": None, "id": row.id, "path": where, "reason": reason, "split": split}
                file.write(json.dumps(line) + "\n")


def _predictions(result: VideoScores, source: VideoSource) -> Iterator[dict]:
    best = metrics.top_k(result.scores, 5)
    for index, (label, scored, reason) in enumerate(zip(result.labels, result.scored, result.reasons, strict=True)):
        top = best[index].tolist() if scored else []
        yield {
            "index": index,
            "id": source[index].id,
            "label": int(label),
            "top": top,
            "scores": [round(float(result.scores[index, c]), 6) for c in top],
            "scored": bool(scored),
            "reason": reason,
        }


def _write_matrix(path: pathlib.Path, matrix: np.ndarray, names: Sequence[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label \\ prediction", *names])
        for name, row in zip(names, matrix.tolist(), strict=True):
            writer.writerow([name, *row])


def _sentence(results: dict, result: VideoScores) -> str:
    scored, expected = results["eval/num_scored"], results["eval/num_expected"]
    text = (
        f"scored {scored} of {expected} videos, {results['eval/clips']} x {results['eval/crops']} views, "
        f"{results['eval/merge']}: top-1 {results['eval/top1']:.1%}, top-5 {results['eval/top5']:.1%}"
    )
    if scored == expected:
        return text
    reasons = sorted({r for r in result.reasons if r})
    counts = ", ".join(f"{reason} {result.reasons.count(reason)}" for reason in reasons)
    return f"{text} (unscored counts as wrong; of the scored, top-1 {results['eval/top1_scored']:.1%}; {counts})"
