"""The timeline under the player: a long video as consecutive windows, each with its answer."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.video.decode import VideoInfo
from vidjax.demo.parts import text
from vidjax.evaluation.predict import Predictor

_MOST = 48  # windows per video
_SPREAD = 10.0  # seconds per window for models that spread their frames: as long as the clips of Kinetics
_LONG = 2  # minimum length of a video for a timeline, in clips
_LANES = 8  # number of colours, and of classes drawn: those that win the most windows
_TALL = 40  # height of the curves, in SVG units
_MARKS = 6  # times shown below the timeline
_MINUTES = 120.0  # seconds from which times are in minutes


def windows_for(recipe: ClipRecipe, info: VideoInfo) -> Windows | None:
    """Return windows that overlap by half, or less if they would be too many; None for a video under two clips long."""
    seconds = _SPREAD if recipe.spread else recipe.covers(info.frames, info.fps) / info.fps
    if info.duration < _LONG * seconds:
        return None
    count = min(_MOST, math.ceil(2 * info.duration / seconds) - 1)
    return Windows(count=count, merge="mean", length=_SPREAD if recipe.spread else 0.0)


def sliding(predictor: Predictor, windows: Windows) -> Predictor:
    """Return a predictor with other windows and the same compiled functions."""
    other = copy.copy(predictor)
    other.recipe = dataclasses.replace(predictor.recipe, windows=windows)
    return other


def gaps(windows: Sequence[dict[str, Any]], info: VideoInfo) -> str:
    """State that the windows leave gaps in the video; empty if they do not."""
    length = windows[0]["end"] - windows[0]["start"]
    if len(windows) * length >= info.duration:
        return ""
    return (
        f"The timeline has {len(windows)} windows of {length:.1f} s, {info.duration / len(windows):.1f} s apart: "
        "it does not cover the video between them."
    )


def draw(windows: Sequence[dict[str, Any]], info: VideoInfo) -> str:
    """Draw the answers of windows over time, one column per window; each column is a button that seeks to its time.

    Classes are lanes, darker where they are more probable. Regression values are curves on one scale.

    Args:
      windows: in time order, each with start, end (seconds) and top or values.
    """
    return _curves(windows, info) if "values" in windows[0] else _lanes(windows, info)


def _lanes(windows: Sequence[dict[str, Any]], info: VideoInfo) -> str:
    best = Counter(window["top"][0]["label"] for window in windows)
    labels = [label for label, _ in best.most_common(_LANES)]

    def cells(window: dict[str, Any]) -> str:
        by_label = {line["label"]: line["probability"] for line in window["top"]}
        return "".join(
            f'<i class="vj-lane-{lane}" style="opacity:{by_label.get(label, 0.0):.3f}"></i>'
            for lane, label in enumerate(labels)
        )

    def words(window: dict[str, Any]) -> str:
        return ", ".join(f"{line['label']} {line['probability']:.0%}" for line in window["top"][:3])

    return _framed(_names(labels), _columns(windows, info, words, cells), info)


def _curves(windows: Sequence[dict[str, Any]], info: VideoInfo) -> str:
    values = np.array([[line["value"] for line in window["values"]] for window in windows])
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    heights = (_TALL - 2) * (1 - (values - low) / ((high - low) or 1.0)) + 1
    shares = [100 * middle / info.duration for middle in _middles(windows)]
    lines = "".join(
        f'<polyline class="vj-lane-{lane % _LANES}" points="'
        + " ".join(f"{share:.2f},{height:.2f}" for share, height in zip(shares, line, strict=True))
        + '"/>'
        for lane, line in enumerate(heights.T)
    )
    zero = (_TALL - 2) * high / ((high - low) or 1.0) + 1
    picture = (
        f'<svg viewBox="0 0 100 {_TALL}" preserveAspectRatio="none" aria-hidden="true">'
        f'<line x1="0" x2="100" y1="{zero:.2f}" y2="{zero:.2f}"/>{lines}</svg>'
    )

    def words(window: dict[str, Any]) -> str:
        return ", ".join(f"{line['name']} {line['value']:+.3f}" for line in window["values"])

    names = _names([line["name"] for line in windows[0]["values"]])
    names += f"<small>{low:+.2f} to {high:+.2f}</small>"
    return _framed(names, _columns(windows, info, words, lambda _: "") + picture, info, "vj-curves")


def _names(names: Sequence[str]) -> str:
    return "".join(
        f'<span class="vj-lane-{lane % _LANES}" title="{text(name)}">{text(name)}</span>'
        for lane, name in enumerate(names)
    )


def _columns(
    windows: Sequence[dict[str, Any]],
    info: VideoInfo,
    words: Callable[[dict[str, Any]], str],
    cells: Callable[[dict[str, Any]], str],
) -> str:
    """Return the buttons with their labels and contents."""
    edges = [0.0, *((one + other) / 2 for one, other in itertools.pairwise(_middles(windows))), info.duration]
    buttons = []
    for window, start, end in zip(windows, edges[:-1], edges[1:], strict=True):
        about = text(f"{window['start']:.1f} - {window['end']:.1f} s: {words(window)}")
        buttons.append(
            f'<button type="button" style="flex-grow:{end - start:.3f}" data-start="{window["start"]:.3f}" '
            f'data-end="{window["end"]:.3f}" aria-label="{about}" title="{about}">{cells(window)}</button>'
        )
    return "".join(buttons)


def _middles(windows: Sequence[dict[str, Any]]) -> list[float]:
    return [(window["start"] + window["end"]) / 2 for window in windows]


def _framed(names: str, columns: str, info: VideoInfo, kind: str = "") -> str:
    times = (_time(info.duration * mark / (_MARKS - 1), info.duration) for mark in range(_MARKS))
    marks = "".join(f"<span>{time}</span>" for time in times)
    return (
        f'<div class="vj-timeline {kind}"><div class="vj-names" aria-hidden="true">{names}</div>'
        f'<div class="vj-lanes"><div class="vj-columns" role="group" aria-label="timeline">{columns}</div>'
        f'<div class="vj-marks" aria-hidden="true">{marks}</div></div>'
        '<div class="vj-window" role="status">Click a segment: the player jumps to it.</div></div>'
    )


def _time(seconds: float, duration: float) -> str:
    if duration < _MINUTES:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
