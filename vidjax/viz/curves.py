"""Draw curves over training steps from the metrics.jsonl of one or more runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vidjax.files import Place, located, read_json_lines
from vidjax.viz.figures import label, new_figure, save_figure


@dataclasses.dataclass(frozen=True)
class Curve:
    """A metric to draw over training steps.

    Attributes:
      metric: its name in metrics.jsonl, such as `val/top1`.
      title: title of its panel.
      fraction: whether it lies between 0 and 1 and is drawn in percent.
    """

    metric: str
    title: str
    fraction: bool = False


METRICS = "metrics.jsonl"
LOSS = Curve("train/loss", "training loss")
LEARNING_RATE = Curve("train/lr", "learning rate")
_SMOOTHED_FROM = 60  # points; shorter curves are not smoothed
_ACROSS = 3  # maximum panels in a row
_FEW = 4  # maximum runs whose names fit into a panel
_DASHES = ("-", "--", ":", "-.")  # line styles, one for each ten runs, as there are ten colours


def read_metric(path: str | Place, name: str) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Read the steps and finite values of one metric from a metrics.jsonl.

    Damaged lines, such as the unfinished last line of a killed run, are skipped.
    """
    rows = read_json_lines(path, step=int).rows
    found = [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]
    steps, values = np.array(found, np.float64).reshape(-1, 2).T
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def smooth(values: Float[np.ndarray, " n"], window: int) -> Float[np.ndarray, " n"]:
    """The mean over a centred window, which is truncated at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def draw_curves(runs: Mapping[str, str | Place], curves: Sequence[Curve | str], path: str | Place) -> Place | None:
    """Draw one panel per metric that has two or more values in any run, with a line for each run that has the metric.

    Args:
      runs: folders of runs by their names in the legend.
      curves: metrics; a plain name, such as `train/lr`, is its own title.
      path: the PNG to write.

    Returns:
      the path, or None if no run has two or more values of any of the metrics.
    """
    curves = [Curve(curve, curve) if isinstance(curve, str) else curve for curve in curves]
    found = {
        curve: {run: read_metric(located(folder) / METRICS, curve.metric) for run, folder in runs.items()}
        for curve in curves
    }
    shown = [curve for curve in curves if any(len(steps) > 1 for steps, _ in found[curve].values())]
    if not shown:
        return None
    from matplotlib.ticker import MaxNLocator, PercentFormatter  # imported late: every task imports this module

    across = min(len(shown), _ACROSS)
    down = -(-len(shown) // across)
    below = 0.2 * -(-len(runs) // across) if len(runs) > _FEW else 0  # inches for the names
    figure = new_figure(5.2 * across, 3.8 * down + below)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels[len(shown) :]:
        axes.remove()
    for axes, curve in zip(panels, shown, strict=False):
        for order, (steps, values) in enumerate(found[curve].values()):
            if len(steps):
                dashes = _DASHES[order // 10 % len(_DASHES)]
                _draw_line(axes, steps, values, f"C{order % 10}", dashes, pale=len(runs) <= _FEW)
        axes.set(title=curve.title, xlabel="step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if curve.fraction:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.set_ylim(0, 1.02)
    if len(runs) > 1:
        _name_lines(figure, list(runs), across)
    return save_figure(figure, path)


def _draw_line(axes, steps: np.ndarray, values: np.ndarray, colour: str, dashes: str, *, pale: bool) -> None:
    """Draw a curve. A long one is smoothed; if `pale`, a pale line behind it shows every value."""
    if len(steps) < _SMOOTHED_FROM:
        marker = "o" if len(steps) < 12 else ""
        axes.plot(steps, values, color=colour, linestyle=dashes, marker=marker, markersize=4)
        return
    if pale:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
    axes.plot(steps, smooth(values, len(steps) // 30 | 1), color=colour, linestyle=dashes)


def _name_lines(figure, runs: Sequence[str], across: int) -> None:
    """Draw the legend in each panel, or, with many runs, once below the panels."""
    from matplotlib.lines import Line2D

    names = [label(run, 60) for run in runs]
    lines = [
        Line2D([], [], color=f"C{order % 10}", linestyle=_DASHES[order // 10 % len(_DASHES)])
        for order in range(len(runs))
    ]
    if len(runs) <= _FEW:
        legends = [axes.legend(lines, names, frameon=False, fontsize=9) for axes in figure.axes]
    else:
        below = {"loc": "outside lower left", "ncols": across}
        legends = [figure.legend(lines, names, frameon=False, fontsize=8, **below)]
    for legend in legends:
        for text in legend.get_texts():
            text.set_parse_math(False)
