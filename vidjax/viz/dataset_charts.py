"""Charts of a data set from the results of `vidjax check`: classes, lengths, sizes, failures, subjects and targets.

The numbers of every picture are in charts.json beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from vidjax.data.audit import SplitAudit
from vidjax.files import Place, located, write_json
from vidjax.viz.class_bars import draw_classes, draw_few_classes
from vidjax.viz.dataset_statistics import bin_edges, failures_of, frames_by_target, numbers_of
from vidjax.viz.figures import new_figure, save_figure

FILE = "charts.json"
_FEW = 20  # maximum classes for which all splits share one picture
_SIZES = 12  # number of most frequent sizes that are drawn
_ACROSS = 3  # maximum panels in a row
_NARROW = 10  # minimum range of an axis of whole numbers
_HISTOGRAM = "histogram"
_GREY = "0.45"
Draw = Callable[[Axes, SplitAudit], None]


def draw_dataset(title: str, audits: Sequence[SplitAudit], folder: str | Place) -> list[Place]:
    """Draw every chart for which there is data.

    Args:
      title: title of the data set.
      audits: audits of splits whose videos were read.
      folder: the folder to write into.

    Returns:
      the paths of the pictures, and of charts.json last.
    """
    folder = located(folder)
    found = [about for about in audits if about.listed]
    numbers = {about.split: numbers_of(about) for about in found}
    pictures = _draw_classes(title, found, folder)
    if found:
        pictures.append(_panels(found, (_draw_seconds, _draw_frames), f"{title}: length", folder / "durations.png"))
        pictures.append(_panels(found, (_draw_short_sides, _draw_sizes), f"{title}: size", folder / "sizes.png"))
        pictures.append(_panels(found, (_draw_failures,), f"{title}: unusable videos", folder / "failures.png"))
    if any(about.subjects for about in found):
        pictures.append(_panels(found, (_draw_subjects,), f"{title}: subjects", folder / "subjects.png"))
    if any(about.targets for about in found):
        pictures.append(_panels(found, (_draw_targets,), f"{title}: targets", folder / "targets.png"))
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, {"title": title, "splits": numbers})
    return [*pictures, folder / FILE]


def _draw_classes(title: str, audits: Sequence[SplitAudit], folder: Place) -> list[Place]:
    counted = {about.split: about.class_counts for about in audits if about.class_counts}
    if not counted:
        return []
    units = {about.split: about.unit for about in audits}
    if max(map(len, counted.values())) <= _FEW:
        return [draw_few_classes(title, counted, units, folder / "classes.png")]
    return [
        draw_classes(f"{title}, {split}", counts, units[split], folder / f"classes_{split}.png")
        for split, counts in counted.items()
    ]


def _panels(audits: Sequence[SplitAudit], draws: Sequence[Draw], title: str, path: Place) -> Place:
    """Draw a row of panels per split, or, with a single panel per split, up to three splits in a row."""
    columns = len(draws) if len(draws) > 1 else min(_ACROSS, len(audits))
    rows = -(-len(audits) * len(draws) // columns)
    figure = new_figure(5.6 * columns, 2.6 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    shown = zip(panels, ((draw, about) for about in audits for draw in draws), strict=False)
    for axes, (draw, about) in shown:
        draw(axes, about)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(audits) * len(draws) :]:
        axes.set_axis_off()
    for column in range(len(draws)):
        _share_range([axes for axes in panels[column :: len(draws)] if axes.get_gid() == _HISTOGRAM])
    figure.suptitle(title, fontsize=12)
    return save_figure(figure, path)


def _share_range(panels: Sequence[Axes]) -> None:
    """Give histograms that will be compared the same range of values."""
    if panels:
        ranges = [axes.get_xlim() for axes in panels]
        for axes in panels:
            axes.set_xlim(min(low for low, _ in ranges), max(high for _, high in ranges))


def _draw_seconds(axes: Axes, about: SplitAudit) -> None:
    _bars(axes, about.split, [info.duration for info in about.measured], "seconds", "C0")


def _draw_frames(axes: Axes, about: SplitAudit) -> None:
    _bars(axes, about.split, [info.frames for info in about.measured], "frames", "C1")


def _draw_short_sides(axes: Axes, about: SplitAudit) -> None:
    _bars(axes, about.split, [min(info.height, info.width) for info in about.measured], "short side, pixels", "C2")


def _bars(axes: Axes, split: str, values: Sequence[float], label: str, colour: str) -> None:
    if not len(values):
        _say(axes, split, "no video could be read")
        return
    counts, edges = np.histogram(values, bins=bin_edges(values))
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colour, edgecolor="white", linewidth=0.3)
    low, median, high = np.quantile(values, [0, 0.5, 1])
    axes.axvline(median, color="black", linewidth=1, linestyle=":")
    axes.set_title(f"{split}: {low:.4g} to {high:.4g}, median {median:.4g}", fontsize=10)
    axes.set(xlabel=label, ylabel="videos")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if all(float(value).is_integer() for value in values):
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        middle, reach = (edges[0] + edges[-1]) / 2, max(_NARROW, edges[-1] - edges[0]) / 2
        axes.set_xlim(middle - reach, middle + reach)
    axes.set_gid(_HISTOGRAM)


def _draw_sizes(axes: Axes, about: SplitAudit) -> None:
    counts = Counter(f"{info.width} x {info.height}" for info in about.measured).most_common()
    shown, total = dict(counts[:_SIZES]), len(about.measured)
    title = f"{about.split}: {len(counts):,} size{'s' * (len(counts) > 1)}"
    if len(counts) > _SIZES:
        title += f"; the {_SIZES} most frequent, {sum(shown.values()) / total:.1%} of the videos"
    _named_bars(axes, title, shown, total, "C2")


def _draw_failures(axes: Axes, about: SplitAudit) -> None:
    failures = failures_of(about)
    if not failures:
        _say(axes, about.split, f"none: all {about.listed:,} videos are there and can be read")
        return
    title = f"{about.split}: {sum(failures.values()):,} of {about.listed:,} videos"
    _named_bars(axes, title, failures, about.listed, "C3")


def _named_bars(axes: Axes, title: str, counts: Mapping[str, int], total: int, colour: str) -> None:
    """Draw horizontal bars with their counts and shares."""
    if not counts:
        _say(axes, title, "no video could be read")
        return
    places, values = range(len(counts)), list(counts.values())
    axes.barh(places, values, color=colour, height=min(0.8, 0.25 * len(counts)))
    axes.set_yticks(places, counts, fontsize=8)
    axes.set_ylim(len(counts) - 0.4, -0.6)
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:,} ({_share(value / total)})", va="center", fontsize=8)
    axes.set_xlim(0, 1.3 * max(values))
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("videos")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 else "under 0.1%"


def _draw_subjects(axes: Axes, about: SplitAudit) -> None:
    frames = np.sort(list(about.subjects.values()))[::-1]
    if not len(frames):
        _say(axes, about.split, "no subject")
        return
    axes.bar(range(1, len(frames) + 1), frames, width=0.9, color="C4")
    axes.set_xlim(0, max(len(frames), _NARROW) + 1)
    largest = max(about.subjects, key=about.subjects.__getitem__)
    total = f"{about.split}: {len(frames)} subject{'s' * (len(frames) > 1)}, {frames.sum():,} frames"
    axes.set_title(f"{total}; most: {frames[0]:,} of {largest}", fontsize=10)
    axes.set(xlabel="subjects, by number of frames", ylabel="frames")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))


def _draw_targets(axes: Axes, about: SplitAudit) -> None:
    if not about.targets:
        _say(axes, about.split, "no frame")
        return
    counts, edges = frames_by_target(about.targets)
    shown = np.ma.masked_equal(counts.T, 0)
    image = axes.pcolormesh(edges, edges, shown, cmap="viridis", norm=LogNorm(1, max(10, counts.max())))
    axes.figure.colorbar(image, ax=axes, label="frames", shrink=0.8)
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set(xlabel="valence", ylabel="arousal", aspect="equal")
    axes.set(xticks=range(-10, 11, 5), yticks=range(-10, 11, 5))
    axes.set_title(f"{about.split}: {len(about.targets):,} frames", fontsize=10)


def _say(axes: Axes, title: str, sentence: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", color=_GREY)
    axes.spines[:].set_visible(False)
