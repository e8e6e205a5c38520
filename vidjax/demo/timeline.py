"""A long video as windows one after the other, each with its own answer: what the page draws under the player."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.video.decode import VideoInfo
from vidjax.demo.parts import text
from vidjax.evaluation.predict import Predictor

_MOST = 48  # windows of a video
_SPREAD = 10.0  # seconds of a window whose frames are spread over it: as long as the clips of Kinetics
_LONG = 2  # clips: of a video that is at least so long
_LANES = 8  # classes that are drawn, those that are the best of most windows
_MARKS = 6  # times written below


def windows_for(recipe: ClipRecipe, info: VideoInfo) -> Windows | None:
    """Windows that overlap by half, or farther apart where they would be too many; None for a video of a clip or so."""
    seconds = _SPREAD if recipe.spread else recipe.covers(info.frames, info.fps) / info.fps
    if info.duration < _LONG * seconds:
        return None
    count = min(_MOST, math.ceil(2 * info.duration / seconds) - 1)
    return Windows(count=count, merge="mean", length=_SPREAD if recipe.spread else 0.0)


def sliding(predictor: Predictor, windows: Windows) -> Predictor:
    """A predictor that slides other windows; what it has compiled is shared."""
    other = copy.copy(predictor)
    other.recipe = dataclasses.replace(predictor.recipe, windows=windows)
    return other


def gaps(windows: Sequence[dict[str, Any]], info: VideoInfo) -> str:
    """A sentence about windows that leave out parts of a video; empty where they do not."""
    length = windows[0]["end"] - windows[0]["start"]
    if len(windows) * length >= info.duration:
        return ""
    return (
        f"The time line has {len(windows)} windows of {length:.1f} s, {info.duration / len(windows):.1f} s apart: "
        "it leaves out what is between them."
    )


def draw(windows: Sequence[dict[str, Any]], info: VideoInfo) -> str:
    """Lanes of the best classes over time, a column a window; a column is a button that knows its second.

    Args:
      windows: in the order of time, each with start, end (seconds) and top.
    """
    best = Counter(window["top"][0]["label"] for window in windows)
    labels = [label for label, _ in best.most_common(_LANES)]
    names = "".join(f'<span class="vj-lane-{lane}">{text(label)}</span>' for lane, label in enumerate(labels))
    middles = [(window["start"] + window["end"]) / 2 for window in windows]
    edges = [0.0, *((one + other) / 2 for one, other in itertools.pairwise(middles)), info.duration]
    columns = "".join(
        _column(window, labels, end - start) for window, start, end in zip(windows, edges[:-1], edges[1:], strict=True)
    )
    marks = "".join(f"<span>{info.duration * mark / (_MARKS - 1):.1f} s</span>" for mark in range(_MARKS))
    return (
        '<div class="vj-timeline"><div class="vj-names" aria-hidden="true">' + names + "</div>"
        f'<div class="vj-lanes"><div class="vj-columns" role="group" aria-label="time line">{columns}</div>'
        f'<div class="vj-marks" aria-hidden="true">{marks}</div></div>'
        '<div class="vj-window" role="status">Click a segment: the player jumps to it.</div></div>'
    )


def _column(window: dict[str, Any], labels: Sequence[str], seconds: float) -> str:
    by_label = {line["label"]: line["probability"] for line in window["top"]}
    cells = "".join(
        f'<i class="vj-lane-{lane}" style="opacity:{by_label.get(label, 0.0):.3f}"></i>'
        for lane, label in enumerate(labels)
    )
    best = ", ".join(f"{line['label']} {line['probability']:.0%}" for line in window["top"][:3])
    about = text(f"{window['start']:.1f} - {window['end']:.1f} s: {best}")
    return (
        f'<button type="button" style="flex-grow:{seconds:.3f}" data-start="{window["start"]:.3f}" '
        f'data-end="{window["end"]:.3f}" aria-label="{about}" title="{about}">{cells}</button>'
    )
