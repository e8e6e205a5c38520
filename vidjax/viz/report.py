"""Write report.md and report.html for a run, or for several runs side by side: results, pictures and provenance."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vidjax.config import Config, flatten, to_saved
from vidjax.files import Place, located, read_json
from vidjax.viz import made
from vidjax.viz.behind_scores import DATA, score_sentences, video_blocks
from vidjax.viz.clips import clip_blocks
from vidjax.viz.confusion import confusion_blocks
from vidjax.viz.curves import LEARNING_RATE, LOSS, METRICS, Curve, draw_curves, read_metric
from vidjax.viz.document import Block, Code, Figures, Heading, Picture, Table, Text, write_document
from vidjax.viz.head_grid import head_blocks
from vidjax.viz.recipe import recipe_blocks
from vidjax.viz.result_table import class_blocks, results_table, rounded
from vidjax.viz.time_spent import time_blocks

PICTURES = "pictures"
CALIBRATION = (
    "Reliability diagram (Guo et al. 2017): the share of correct answers, by the probability of the "
    "answer in 15 bins of equal width. The expected calibration error (ECE) is the difference between this share and "
    "the mean probability of a bin, averaged over videos"
)
_RECONSTRUCTIONS = {  # pictures that masked autoencoding writes into a run's folder, in the order of the report
    "reconstruction.png": "Held-out clips: input, visible patches, reconstruction and its error; the note in the "
    "picture explains what is predicted.",
    "reconstruction.gif": "The same clips, animated.",
}


def write_run_report(
    workdir: str | os.PathLike,
    curves: Sequence[Curve] = (),
    act: str = "",
    config: Config | None = None,
    results: Mapping[str, Any] | None = None,
    why: str = "",
) -> Place:
    """Write the report of one run from the files in its folder; return the path of report.md.

    It reads config.json, data.json, results.json, confusion_matrix.csv, metrics.jsonl, quarantine.jsonl, goodput.json,
    heads.json and the pictures, as far as they exist. It draws the training loss, the task's curves and the learning
    rate, and adds this start to the folder's history, so that earlier starts stay in the report.

    Args:
      workdir: the run's folder.
      curves: the curves of its task.
      act: what was done, such as `trained to step 200 of 200`.
      config: the configuration of this start, if it may differ from config.json.
      results: the resulting figures by name.
      why: why the run was stopped, if it was.
    """
    workdir = located(workdir)
    trained = _read(workdir / "config.json")
    tree = trained or (to_saved(config) if config else {})
    changed = changes(trained, to_saved(config)) if trained and config else ""
    history = made.add(workdir, made.make(act, _whole(results or {}), changed, why))
    latest = _read(workdir / "results.json")
    pictures = workdir / PICTURES
    blocks = _results(history, latest, workdir, curves)
    if drawn := _pictures(workdir):
        blocks += [Heading("Reconstructions"), *drawn]
    blocks += recipe_blocks(tree, _read(workdir / DATA))
    if drawn := _curve_blocks({workdir.name: workdir}, (LOSS, *curves, LEARNING_RATE), pictures / "curves.png"):
        blocks += [Heading("Curves"), *drawn]
    blocks += head_blocks(workdir)
    blocks += [*confusion_blocks(workdir, pictures), *_calibration(latest, pictures), *clip_blocks(pictures)]
    blocks += [*class_blocks(latest), *video_blocks(workdir), *time_blocks(workdir)]
    if tree:
        blocks += [Heading("Settings that differ from the defaults"), Code(settings(tree))]
    name = tree.get("model", {}).get("name", "run")
    title = f"{name}: {tree.get('task', 'a run').replace('_', ' ')}"
    stopped = [Text(f"This run was {act}.{f' Reason: {why}' if why else ''}")] if act.startswith("stopped") else []
    return write_document(workdir, title, [*stopped, *blocks, *made.blocks(history)])


def write_comparison(
    workdir: str | os.PathLike, rows: Sequence[Mapping[str, Any]], curves: Sequence[Curve], seconds: float
) -> Place:
    """Write the report of the quickstart, which compares pre-training with training from scratch.

    Args:
      workdir: holds `seed<N>/{pretrain,finetune,scratch}`, the folders of the runs.
      rows: dicts of seed (None for chance), start (pre-trained, from scratch, chance), top1 and top5 in [0, 1].
      curves: curves of the classifiers, in addition to the training loss.
      seconds: the total time.

    Returns:
      the path of report.md.
    """
    workdir = located(workdir)
    seeds = sorted({row["seed"] for row in rows if row["seed"] is not None})
    first = workdir / f"seed{seeds[0]}"
    blocks: list[Block] = [
        Text(
            "Two classifiers saw the same labelled clips for the same number of steps. One started from an encoder "
            "that was pre-trained by masked autoencoding, without labels; the other started from random weights."
        ),
        Heading("Results"),
        _comparison_table(rows),
        Text(f"{len(seeds)} seed{'s' * (len(seeds) > 1)}; all runs together took {seconds / 60:.1f} minutes."),
        Heading("Pre-training"),
        *_curve_blocks({"pre-training": first / "pretrain"}, (LOSS,), workdir / PICTURES / "pretrain.png"),
        *_pictures(first / "pretrain"),
        Heading("Fine-tuning"),
    ]
    runs = {"pre-trained": first / "finetune", "from scratch": first / "scratch"}
    blocks += _curve_blocks(runs, (LOSS, *curves), workdir / PICTURES / "finetune.png")
    blocks += confusion_blocks(first / "finetune", first / "finetune" / PICTURES)
    blocks += clip_blocks(first / "finetune" / PICTURES)
    config = _read(first / "finetune" / "config.json")
    if config:
        blocks += [Heading("Fine-tuning settings that differ from the defaults"), Code(settings(config))]
    return write_document(workdir, "Masked autoencoding on moving digits", [*blocks, *made.blocks([made.make("")])])


def _comparison_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per way to start: the mean over seeds, with the sample standard deviation if there are several seeds."""
    lines = []
    for start in dict.fromkeys(row["start"] for row in rows):
        same = [row for row in rows if row["start"] == start]
        cells = []
        for key in ("top1", "top5"):
            values = np.array([row[key] for row in same])
            spread = f" ± {values.std(ddof=1):.1%}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.1%}{spread}")
        lines.append([start, *cells])
    return Table(("start", "top-1", "top-5"), lines)


def _results(
    history: Sequence[made.Made], latest: Mapping[str, Any], workdir: Place, curves: Sequence[Curve]
) -> list[Block]:
    """The figures of every start that recorded any, or else the latest figures, with sentences on their basis."""

    def figures_and_words(results: Mapping[str, Any]) -> list[Block]:
        return [*_figures(results, curves), results_table(results), *map(Text, score_sentences(results, workdir))]

    scored = [done for done in history if done.results]
    if len(scored) < 2:
        figures = scored[0].results if scored else _whole(latest)
        return [Heading("Results"), *figures_and_words(figures)] if figures else []
    blocks: list[Block] = []
    for done in scored:
        blocks += [Heading(f"Results: {done.act}, {done.when}"), *figures_and_words(done.results)]
        if done.settings:
            blocks += [Text("Settings that differ from the run's:"), Code(done.settings)]
    return blocks


def _figures(results: Mapping[str, Any], curves: Sequence[Curve]) -> list[Block]:
    """The final evaluation's values of the metrics that the task draws as curves, or else the last training loss."""
    found = {}
    for curve in curves:
        value = results.get(f"eval/{curve.metric.partition('/')[2]}")
        if isinstance(value, int | float):
            name = curve.title.partition(",")[0]  # without the number of views
            found.setdefault(name, f"{value:.1%}" if curve.fraction else f"{value:.3f}")
    if not found and isinstance(loss := results.get(LOSS.metric), float):
        found = {"training loss at the end": rounded(LOSS.metric, loss)}
    return [Figures([(value, name) for name, value in found.items()])] if found else []


def _whole(results: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that do not belong to single classes."""
    return {name: value for name, value in results.items() if name.count("/") == 1}


def _curve_blocks(runs: Mapping[str, Place], curves: Sequence[Curve], path: Place) -> list[Picture | Text]:
    """Curves of metrics with two or more points, and a sentence on each metric with a single point."""
    picture = draw_curves(runs, curves, path)
    caption = "Curves over training steps; a long curve is smoothed, and a pale line shows every logged value."
    blocks: list[Picture | Text] = [Picture(picture, caption, zooms=True)] if picture else []
    for curve in curves:
        found = {name: read_metric(folder / METRICS, curve.metric) for name, folder in runs.items()}
        if max(len(steps) for steps, _ in found.values()) == 1:
            values = [
                f"{f'{values[0]:.1%}' if curve.fraction else f'{values[0]:.3g}'} at step {steps[0]:.0f}"
                + (f" ({name})" if len(runs) > 1 else "")
                for name, (steps, values) in found.items()
                if len(steps)
            ]
            blocks.append(Text(f"{curve.title[0].upper()}{curve.title[1:]}: {', '.join(values)}."))
    return blocks


def _pictures(run: Place) -> list[Block]:
    paths = ((run / PICTURES / name, caption) for name, caption in _RECONSTRUCTIONS.items())
    return [Picture(path, caption) for path, caption in paths if path.is_file()]


def _calibration(results: Mapping[str, Any], pictures: Place) -> list[Block]:
    path = pictures / "calibration.png"
    if "eval/ece" not in results or not path.is_file():
        return []
    return [Heading("Calibration"), Picture(path, f"{CALIBRATION}: {results['eval/ece']:.1%}.")]


def settings(config: Mapping[str, Any]) -> str:
    """The keys of a configuration that are not at their defaults, one per line."""
    usual = dict(flatten(json.loads(json.dumps(to_saved(Config())))))
    differing = (pair for pair in flatten(config) if pair[0] != "schema" and pair[1] != usual.get(pair[0]))
    lines = [f"{key} = {value!r}" for key, value in differing]
    return "\n".join(lines) or "none"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The keys, except `mode` and `init_from`, whose values in `after` differ from those in `before`, one per line."""
    old, new = (dict(flatten(json.loads(json.dumps(tree)))) for tree in (before, after))
    own = ("mode", "init_from")
    return "\n".join(f"{key} = {value!r}" for key, value in new.items() if value != old.get(key) and key not in own)


def _read(path: Place) -> dict[str, Any]:
    return read_json(path) or {}
