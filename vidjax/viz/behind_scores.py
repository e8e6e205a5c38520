"""State the basis of a report's figures: the number of videos, the checkpoint, and the videos left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vidjax.files import Place, read_json, read_json_lines
from vidjax.viz.curves import METRICS, read_metric
from vidjax.viz.document import Block, Heading, Table, Text
from vidjax.viz.result_table import rounded

DATA, QUARANTINE = "data.json", "quarantine.jsonl"  # in a run's folder
_SHOWN = 20  # maximum quarantined videos in a report
_FEW = 500  # videos; with fewer, a single one noticeably changes a figure


def score_sentences(results: Mapping[str, Any], workdir: Place) -> Iterator[str]:
    """Yield sentences that a reader of an evaluation's figures should know.

    Args:
      results: the results of one start of a run by name, including its last validation if there was one.
      workdir: the run's folder, whose metrics.jsonl has the step of the validation.
    """
    videos = results.get("eval/num_expected")
    if not videos:
        return
    missed = videos - results.get("eval/num_scored", videos)
    merge = f", merged by {results['eval/merge']}" if "eval/merge" in results else ""
    windows = results.get("eval/num_windows")
    num_clips = (windows or videos * results.get("eval/clips", 1)) * results.get("eval/crops", 1)
    of = "" if windows else " of each video"
    clips = f" and {num_clips} clips ({_view_words(results)}{of}{merge})" if num_clips > videos else ""
    unscored = f"; {_videos(missed)} could not be scored" if missed else ""
    share = f" A single video counts for {1 / videos:.1%}." if videos <= _FEW else ""
    yield f"The eval/ figures are based on {_videos(videos)}{clips}{unscored}.{share}"
    if "eval/step" in results:
        chosen = results.get("eval/chosen")
        yield f"Checkpoint {results['eval/step']} was scored{f', {chosen}' if chosen else ''}."
    yield from _two_figures(results, workdir)


def video_blocks(workdir: Place) -> list[Block]:
    """The "Videos" section of a report: the number of videos, and which could not be decoded and why."""
    data, blocks = _read_data(workdir), []
    if sentence := data.get("sentence"):
        blocks.append(Text(f"{sentence}."))
    counts = [f"{verb} {data[side]['videos']}" for side, verb in _SIDES.items() if side in data]
    if counts and not sentence:
        blocks.append(Text(f"The run was {' and '.join(counts)} videos."))
    failed = _read_quarantine(workdir / QUARANTINE)
    if failed:
        rest = f"; the first {_SHOWN} are listed here" if len(failed) > _SHOWN else ""
        blocks.append(Text(f"{_videos(len(failed))} could not be decoded ({QUARANTINE}{rest}):"))
        rows = [[row["id"], row["reason"], _when(row)] for row in failed[:_SHOWN]]
        blocks.append(Table(("video", "reason", "found in"), rows))
    return [Heading("Videos"), *blocks] if blocks else []


_SIDES = {"train": "trained on", "validation": "validated on"}


def _two_figures(results: Mapping[str, Any], workdir: Place) -> Iterator[str]:
    """Yield a sentence on why the last validation and the final evaluation differ in a figure, if they do."""
    pairs = ((name, name.replace("val/", "eval/", 1)) for name in results if name.startswith("val/"))
    differing = next(((val, final) for val, final in pairs if results.get(final, results[val]) != results[val]), None)
    if differing is None:
        return
    steps, _ = read_metric(workdir / METRICS, differing[0])
    when = f" at the last step, {steps[-1]:.0f}," if len(steps) else ""
    which = f" at step {results['eval/step']}" if "eval/step" in results else ""
    values = [f"{name} ({rounded(name, results[name])})" for name in differing]
    heads = "eval/head" in results  # an attentive probe, whose head is chosen on videos that may be others
    model, of = ("the best head", " of the videos for choosing it") if heads else ("the model", "")
    yield (
        f"{' and '.join(values)} are two measurements: val/ scores {model}{when} on central views{of} only, eval/ the "
        f"model{which} on {_view_words(results)}."
    )


def _view_words(results: Mapping[str, Any]) -> str:
    if "eval/num_windows" in results:
        crops = f" with {results['eval/crops']} crops each" if results.get("eval/crops", 1) > 1 else ""
        return f"{results['eval/num_windows']} windows in all{crops}"
    views = (results.get("eval/clips", 1), results.get("eval/crops", 1))
    return "one view" if views == (1, 1) else f"{views[0]} x {views[1]} views"


def _videos(count: int) -> str:
    return f"{count} video{'s' * (count != 1)}"


def _when(row: Mapping[str, Any]) -> str:
    return f"training, step {row['step']}" if row.get("step") is not None else f"evaluation of {row.get('split', '')}"


def _read_data(workdir: Place) -> dict[str, Any]:
    return read_json(workdir / DATA) or {}


def _read_quarantine(path: Place) -> list[dict[str, Any]]:
    return read_json_lines(path, id=str, reason=str).rows
