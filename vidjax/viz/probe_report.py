"""The report of probes on frozen features: a table of results, the curves of the MLPs, and the searched settings."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from vidjax.config import Config
from vidjax.files import Place, located
from vidjax.viz import made
from vidjax.viz.document import Block, Code, Heading, Picture, Table, Text, write_document
from vidjax.viz.figures import new_figure, save_figure
from vidjax.viz.report import PICTURES, settings
from vidjax.viz.result_table import in_column

TITLES = {"loss": "loss", "accuracy": "accuracy", "f1_macro": "macro F1", "ccc": "CCC"}
Curve = Sequence[Mapping[str, float]]  # one dict per epoch: epoch, {train,val}/<figure>


@dataclasses.dataclass(frozen=True)
class ProbeReport:
    """The content of a report of probes.

    Attributes:
      table: column names and rows.
      curves: curves by backbone and reduction; one picture per backbone.
      searches: by backbone/reduction/probe, the settings that were tried, with `mean` and `std` over the folds.
      metric: the figure that `mean` and `std` summarise: f1_macro or ccc.
    """

    title: str
    introduction: str
    table: tuple[Sequence[str], Sequence[Sequence[str]]]
    curves: Mapping[str, Mapping[str, Curve]]
    searches: Mapping[str, Sequence[Mapping[str, Any]]]
    metric: str


def write_probe_report(workdir: str | os.PathLike, report: ProbeReport, config: Config) -> Place:
    """Write report.md, report.html and the pictures; return the path of report.md."""
    workdir, tree = located(workdir), json.loads(json.dumps(dataclasses.asdict(config)))
    blocks: list[Block] = [Text(report.introduction), Heading("Results"), Table(*report.table)]
    for backbone, of_reduction in report.curves.items():
        path = draw_probe_curves(of_reduction, workdir / PICTURES / f"curves_{backbone}.png")
        blocks += [Heading(f"Epochs on {backbone}"), Picture(path, _CURVES)]
    for name, points in report.searches.items():
        blocks += [Heading(f"Searched: {name}"), _search_table(points, report.metric)]
    blocks += [Heading("Settings that differ from the defaults"), Code(settings(tree))]
    return write_document(workdir, report.title, [*blocks, *made.blocks([made.make("")])])


_CURVES = (
    "The MLP, epoch by epoch: solid lines for the training rows that are held out for early stopping, if any, dashed "
    "lines for the rows that it learns from (measured without dropout). The dot marks the epoch that was kept."
)


def draw_probe_curves(curves: Mapping[str, Curve], path: str | Place) -> Place:
    """Draw one panel per figure, with one colour per reduction.

    Args:
      curves: by their names in the legend. The epoch with the lowest val/loss is marked; without val/loss, the last.
      path: the PNG to write.
    """
    names = [name for name in TITLES if any(f"train/{name}" in curve[0] for curve in curves.values())]
    figure = new_figure(4.6 * len(names), 3.6)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for order, (legend, curve) in enumerate(curves.items()):
            epochs, colour = [line["epoch"] for line in curve], f"C{order}"
            axes.plot(epochs, [line[f"train/{name}"] for line in curve], color=colour, linestyle="--", linewidth=0.9)
            solid = "val" if "val/loss" in curve[0] else "train"
            axes.plot(epochs, [line[f"{solid}/{name}"] for line in curve], color=colour, label=legend)
            kept = min(curve, key=lambda line: line["val/loss"]) if solid == "val" else curve[-1]
            axes.plot(kept["epoch"], kept[f"{solid}/{name}"], "o", color=colour, markersize=5)
        axes.set(title=TITLES[name], xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if name != "loss":
            axes.set_ylim(None, 1.02)
        if name in ("accuracy", "f1_macro"):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.axes[0].legend(frameon=False, fontsize=9)
    return save_figure(figure, path)


def _search_table(points: Sequence[Mapping[str, Any]], metric: str) -> Table:
    names = [name for name in points[0] if name not in ("mean", "std")]
    rows = []
    for point in sorted(points, key=lambda point: -point["mean"]):
        mean, deviation = (in_column(metric, point[name]) for name in ("mean", "std"))
        rows.append([*(str(point[name]) for name in names), f"{mean} ± {deviation}"])
    return Table((*names, f"{TITLES[metric]} over the folds"), rows)
