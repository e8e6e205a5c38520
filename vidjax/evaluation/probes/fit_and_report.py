"""Fit and score probes of stored features, and write the results.

The files are results.json, metrics.jsonl (one line per epoch of each MLP), predictions.jsonl, and report.md and
report.html with pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from vidjax.config import Config
from vidjax.data.sources.annotations import LABEL, TARGET
from vidjax.errors import printable
from vidjax.evaluation.probes import table as probe_table
from vidjax.evaluation.probes.cross_validation import METRICS
from vidjax.evaluation.probes.table import SHOWN, Line, Pair
from vidjax.files import Place, write_json, write_json_lines
from vidjax.viz.probe_report import ProbeReport, write_probe_report
from vidjax.viz.result_table import in_column

TITLES = {LABEL: "classification", TARGET: "regression"}


@dataclasses.dataclass(frozen=True)
class Probed:
    """The results of all probes.

    Attributes:
      results: the flat results in results.json.
      table: column names and rows of text.
      report: the path of report.md.
    """

    results: dict[str, float | int | str]
    table: tuple[Sequence[str], Sequence[Sequence[str]]]
    report: Place


def probe_features(
    pairs: Mapping[str, Pair], annotation: str, config: Config, workdir: Place, say: Callable[[str], None]
) -> Probed:
    """Fit the probes of `config.probe` to the features of each backbone, and write the results into a folder.

    Args:
      pairs: the training and test store of each backbone, by name.
      annotation: the annotation to learn, one of `vidjax.evaluation.probes.cross_validation.PROBED`.
      config: the configuration, of which `probe` and `seed` are used; the report contains all of it.
      workdir: the folder for the results.
      say: called with a line of text for each probe when it is done.

    Raises:
      ConfigError, DataError: see `vidjax.evaluation.probes.table.fit_all`.
    """
    lines = []
    for line in probe_table.fit_all(pairs, config.probe, annotation, config.seed, say):
        say(f"{line.name}: " + ", ".join(f"{name} {in_column(name, line.figures[name])}" for name in SHOWN[annotation]))
        lines.append(line)
    results, table = probe_table.results_of(lines, pairs, annotation), probe_table.table(lines, pairs, annotation)
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "results.json", results)
    write_json_lines(workdir / "metrics.jsonl", _metrics(lines))
    write_json_lines(workdir / "predictions.jsonl", _predictions(lines, pairs, annotation))
    curves: dict[str, dict] = {}
    for line in lines:
        if line.curves:
            curves.setdefault(line.backbone, {})[line.reduction] = line.curves
    searches = {line.name: line.points for line in lines if line.points}
    title, introduction = f"Probes of frozen features: {TITLES[annotation]}", _introduction(results, pairs, annotation)
    report = ProbeReport(title, introduction, table, curves, searches, METRICS[annotation])
    path = write_probe_report(workdir, report, config)
    return Probed(results, table, path)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the table, with a line between reductions; at full width if the output is not a terminal."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < 3 else "right")
    for row, below in zip(rows, [*rows[1:], ()], strict=True):
        table.add_row(*map(printable, row), end_section=row[:2] != below[:2])
    console = Console()
    if not console.is_terminal:
        console.width = Measurement.get(console, console.options.update(width=400), table).maximum
    console.print(table)


def _metrics(lines: Sequence[Line]) -> Iterator[dict]:
    for line in lines:
        for epoch in line.curves:
            figures = {f"{line.name}/{name}": value for name, value in epoch.items() if name != "epoch"}
            yield {"step": epoch["epoch"], "epoch": epoch["epoch"], **figures}


def _predictions(lines: Sequence[Line], pairs: Mapping[str, Pair], annotation: str) -> Iterator[dict]:
    """Yield one line per test row with the prediction of every probe; null where the row's features are missing."""
    said = {line.name: _by_row(line, pairs[line.backbone][1].decoded) for line in lines}
    tests = {backbone: test for backbone, (_, test) in pairs.items()}
    first = next(iter(tests.values()))
    known = "label" if annotation == LABEL else "target"
    for row, (name, annotated) in enumerate(
        zip(first.ids, probe_table.annotated(first, annotation).tolist(), strict=True)
    ):
        reasons = {backbone: test.reasons[row] for backbone, test in tests.items() if test.reasons[row]}
        yield {
            "index": row,
            "id": name,
            known: annotated,
            "predictions": {of_line: values[row] for of_line, values in said.items()},
            "scored": not reasons,
            "reason": next(iter(reasons.values()), ""),
        }


def _by_row(line: Line, decoded: np.ndarray) -> list:
    numbers = line.predictions.dtype.kind == "f"
    found = iter((np.round(line.predictions.astype(np.float64), 6) if numbers else line.predictions).tolist())
    return [next(found) if there else None for there in decoded]


def _introduction(results: Mapping, pairs: Mapping[str, Pair], annotation: str) -> str:
    backbones = ", ".join(f"{name} ({pair[0].header.backbone['source']})" for name, pair in pairs.items())
    missed = results["eval/num_expected"] - results["eval/num_scored"]
    counted = "as wrong" if annotation == LABEL else "with a prediction of 0"
    unscored = f" {missed} of these have no features and count {counted}." if missed else ""
    constant = "most frequent class" if annotation == LABEL else "mean target"
    return (
        f"The backbones stay frozen: {backbones}. Every probe is fitted to the features of "
        f"{results['probe/num_train']} training rows and scored on {results['eval/num_expected']} test rows.{unscored} "
        f"The constant predicts the {constant} of the test rows for every row."
    )
