"""Bar charts of how often each class occurs, legible even with hundreds of classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from vidjax.files import Place
from vidjax.viz.figures import label, new_figure, save_figure

_ROW, _NAME, _BAR = 0.155, 0.058, 1.5  # inches: height of a row, widths of a letter and of the longest bar
_LETTERS = 34  # maximum letters of a name
_ACROSS = 3  # maximum panels in a row
_SHAPE = 1.35  # desired ratio of width to height


def draw_classes(title: str, counts: Mapping[str, int], unit: str, path: str | Place) -> Place:
    """Draw many classes, the most frequent first, in enough columns to fill a page.

    Args:
      counts: counts by class name, including classes that do not occur.
      unit: what is counted.
    """
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    longest = min(_LETTERS, max(len(name) for name in counts))
    width = _NAME * longest + _BAR
    columns = max(1, round(np.sqrt(len(ranked) * _SHAPE * _ROW / width)))
    rows = -(-len(ranked) // columns)
    figure = new_figure(width * columns + 0.4, _ROW * rows + 1.1)
    top = max(1, ranked[0][1])
    for column, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        part = ranked[column * rows : (column + 1) * rows]
        places, values = np.arange(len(part)), [count for _, count in part]
        axes.barh(places, values, height=0.8, color=["C0" if value else "C3" for value in values])
        axes.set_yticks(places, [label(name, _LETTERS) for name, _ in part], fontsize=7, parse_math=False)
        for place, value in zip(places, values, strict=True):
            colour = "black" if value else "C3"
            axes.text(value + 0.02 * top, place, f"{value:,}", va="center", fontsize=6.5, color=colour)
        axes.set(xlim=(0, 1.25 * top), ylim=(rows - 0.4, -0.6), xticks=[])
        axes.tick_params(length=0, pad=2)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(f"{title}: {_summary(counts, unit)}", fontsize=11)
    return save_figure(figure, path)


def draw_few_classes(
    title: str, counted: Mapping[str, Mapping[str, int]], units: Mapping[str, str], path: str | Place
) -> Place:
    """Draw one panel per split, up to three in a row.

    Args:
      counted: counts by split and class.
      units: what is counted in each split.
    """
    most, across = max(map(len, counted.values())), min(_ACROSS, len(counted))
    rows = -(-len(counted) // across)
    figure = new_figure(5.2 * across, rows * max(2.2, 0.26 * most + 1.4) + 0.3)
    panels = figure.subplots(rows, across, squeeze=False).ravel()
    for axes, (split, counts) in zip(panels, counted.items(), strict=False):
        places, values, top = np.arange(len(counts)), list(counts.values()), max(1, *counts.values())
        axes.barh(places, values, height=0.75, color="C0")
        axes.set_yticks(places, [label(name, _LETTERS) for name in counts], fontsize=9, parse_math=False)
        for place, value in zip(places, values, strict=True):
            colour = "black" if value else "C3"
            axes.text(value + 0.02 * top, place, f"{value:,}", va="center", fontsize=9, color=colour)
        axes.set(xlim=(0, 1.2 * top), ylim=(len(counts) - 0.4, -0.6), xlabel=units[split])
        total, _, spread = _summary(counts, units[split]).partition("; ")
        axes.set_title(f"{split}: {total}\n{spread}", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(counted) :]:
        axes.set_axis_off()
    figure.suptitle(f"{title}: classes", fontsize=12)
    return save_figure(figure, path)


def _summary(counts: Mapping[str, int], unit: str) -> str:
    """The total, the largest, median and smallest class, and the number of empty classes, in words."""
    values = np.array(list(counts.values()))
    empty = f"; {(values == 0).sum()} empty" if (values == 0).any() else ""
    spread = f"most {values.max():,}, median {np.median(values):,.0f}, fewest {values.min():,}"
    return f"{values.sum():,} {unit} in {len(values)} classes; {spread}{empty}"
