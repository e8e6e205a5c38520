"""report.md (and report.html) of a run, and of several runs side by side: results, pictures, and how they were made."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vidjax.config import Config, flatten, to_saved
from vidjax.viz.curves import LOSS, Curve, draw_curves
from vidjax.viz.document import Block, Code, Heading, Picture, Table, Text, write_document

PICTURES = "pictures"
_CAPTIONS = {  # the pictures other rooms leave in a run's folder, in the order in which they are shown
    "reconstruction.png": "Held-out clips: input, what was left visible, and the reconstruction; the note in the "
    "picture says what is predicted.",
    "reconstruction.gif": "The same clips, moving.",
    "confusion_matrix.png": "Confusion matrix of the scored videos: rows are labels, columns predictions.",
}


def write_run_report(workdir: str | os.PathLike, curves: Sequence[Curve] = ()) -> pathlib.Path:
    """Write the report of one run from what it left in its folder; returns the path of report.md.

    Reads config.json, results.json and metrics.jsonl where they exist, and draws the training loss and the curves of
    its task.
    """
    workdir = pathlib.Path(workdir)
    config, results = _read(workdir / "config.json"), _read(workdir / "results.json")
    blocks: list[Block] = []
    if results:
        blocks += [Heading("Results"), _results_table(results), *_class_table(results)]
    picture = draw_curves({workdir.name: workdir}, (LOSS, *curves), workdir / PICTURES / "curves.png")
    blocks += [Heading("Pictures"), *_curve_picture(picture), *_pictures(workdir)]
    if config:
        blocks += [Heading("Settings that differ from the defaults"), Code(settings(config))]
    name = config.get("model", {}).get("name", "run")
    return write_document(workdir, f"{name}: {config.get('task', 'a run').replace('_', ' ')}", [*blocks, *made()])


def write_comparison(
    workdir: str | os.PathLike, rows: Sequence[Mapping[str, Any]], curves: Sequence[Curve], seconds: float
) -> pathlib.Path:
    """Write the report of the quickstart: pre-trained against from scratch; returns the path of report.md.

    Args:
      workdir: holds `seed<N>/{pretrain,finetune,scratch}`, the folders of the runs.
      rows: dicts of seed (None for chance), start (pre-trained, from scratch, chance), top1 and top5 in 0-1.
      curves: of the classifiers, beside the training loss.
      seconds: how long all of it took.
    """
    workdir = pathlib.Path(workdir)
    seeds = sorted({row["seed"] for row in rows if row["seed"] is not None})
    first = workdir / f"seed{seeds[0]}"
    blocks: list[Block] = [
        Text(
            "Two classifiers saw the same labelled clips for the same number of steps. One started from the encoder "
            "that was pre-trained by masked autoencoding, without labels; the other from random weights."
        ),
        Heading("Results"),
        _comparison_table(rows),
        Text(f"{len(seeds)} seed{'s' * (len(seeds) > 1)}; everything together took {seconds / 60:.1f} minutes."),
        Heading("Pre-training"),
        *_curve_picture(
            draw_curves({"pre-training": first / "pretrain"}, (LOSS,), workdir / PICTURES / "pretrain.png")
        ),
        *_pictures(first / "pretrain"),
        Heading("Fine-tuning"),
    ]
    runs = {"pre-trained": first / "finetune", "from scratch": first / "scratch"}
    blocks += _curve_picture(draw_curves(runs, (LOSS, *curves), workdir / PICTURES / "finetune.png"))
    blocks += _pictures(first / "finetune")
    config = _read(first / "finetune" / "config.json")
    if config:
        blocks += [Heading("Fine-tuning settings that differ from the defaults"), Code(settings(config))]
    return write_document(workdir, "Masked autoencoding on moving digits", [*blocks, *made()])


def _comparison_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a way to start: the mean over seeds, and the sample deviation if there are several."""
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


def _results_table(results: Mapping[str, Any]) -> Table:
    whole = {name: value for name, value in results.items() if name.count("/") == 1}
    return Table(("figure", "value"), [[name, _number(value)] for name, value in whole.items()])


def _class_table(results: Mapping[str, Any]) -> list[Block]:
    """What results say of single classes (eval/<figure>/<class>), a line each."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in results.items():
        if name.count("/") > 1:
            _, figure, of_class = name.split("/", 2)
            found.setdefault(of_class, {})[figure] = value
    if not found:
        return []
    figures = list(dict.fromkeys(figure for line in found.values() for figure in line))
    lines = [[name, *(_number(line.get(figure, "")) for figure in figures)] for name, line in found.items()]
    return [Heading("Classes"), Table(("class", *figures), lines)]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _curve_picture(path: pathlib.Path | None) -> list[Block]:
    return [Picture(path, "Curves over training steps; the pale line is every logged value.")] if path else []


def _pictures(run: pathlib.Path) -> list[Block]:
    paths = ((run / PICTURES / name, caption) for name, caption in _CAPTIONS.items())
    return [Picture(path, caption) for path, caption in paths if path.is_file()]


def settings(config: Mapping[str, Any]) -> str:
    """The keys of a configuration that are not at their defaults, a line each."""
    usual = dict(flatten(json.loads(json.dumps(to_saved(Config())))))
    lines = [f"{key} = {value!r}" for key, value in flatten(config) if value != usual.get(key)]
    return "\n".join(lines) or "none"


def made() -> list[Block]:
    """The command, the machine and the date."""
    import jax

    devices = jax.devices()
    machine = f"{len(devices)} x {devices[0].device_kind}, {os.cpu_count()} CPU cores, {platform.platform()}"
    software = f"Python {platform.python_version()}, jax {jax.__version__}"
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [
        Heading("How it was made"),
        Code(shlex.join(["python", *sys.argv])),
        Text(f"{when}; {machine}; {software}."),
    ]


def _read(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
