"""Timelines of videos as one self-contained HTML file: bars over time, and a picture of each segment."""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vidjax.data.video.readers import open_video
from vidjax.errors import VideoError, one_line, printable
from vidjax.viz.timeline import Answer, lines_of

_PICTURES = 120  # maximum pictures per video
_AT_ONCE = 8  # frames decoded together
_WIDTH = 200  # pixels of a picture
_ROWS = 24  # maximum rows, one per class, where classes overlap
_TICKS = 6
_STYLE = (
    "body{max-width:70rem;margin:auto;padding:0 1rem 3rem;font:16px/1.5 system-ui,sans-serif;color:#222}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2.5rem 0 .3rem;overflow-wrap:anywhere}p{margin:.3rem 0;color:#555}"
    ".error{color:#a00}.row{display:flex;align-items:center;margin:2px 0}"
    ".name{width:8.6rem;margin-right:.4rem;flex:none;font-size:.8rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}"
    ".bar{position:relative;flex:1;height:1.9rem;background:#eee;border-radius:4px;overflow:hidden}"
    ".bar a{position:absolute;top:0;bottom:0;color:#fff;font-size:.75rem;line-height:1.9rem;padding:0 .3rem;"
    "box-sizing:border-box;overflow:hidden;white-space:nowrap;text-decoration:none;border-right:1px solid #fff}"
    ".ticks{display:flex;justify-content:space-between;font-size:.75rem;color:#777}.of-rows{margin-left:9rem}"
    ".cards{display:flex;flex-wrap:wrap;gap:.8rem;margin-top:1rem}"
    ".card{width:200px;border-top:4px solid;font-size:.85rem;line-height:1.3}.card:target{outline:3px solid #222}"
    ".card img{width:100%;display:block}.card b{overflow-wrap:anywhere}"
    "svg{width:100%;height:9rem;background:#fafafa}polyline{fill:none;stroke-width:1.5;vector-effect:non-scaling-stroke}"
    "line{stroke:#bbb;vector-effect:non-scaling-stroke}"
)


def page(answers: Sequence[Answer], about: str) -> str:
    """Return the page as HTML; videos are read again for their pictures.

    Args:
      answers: answers for videos, with `segments` or with `error`.
      about: a sentence on how the videos were predicted.
    """
    body = [f"<h1>Timelines of {len(answers)} video{'s' * (len(answers) != 1)}</h1>", _paragraph(about)]
    for number, answer in enumerate(answers):
        body.append(f"<h2>{_escaped(answer['video'])}</h2>")
        body += [_paragraph(answer["error"], "error")] if "error" in answer else _of_video(answer, f"v{number}")
    head = f'<meta charset="utf-8"><title>Timelines</title><style>{_STYLE}</style>'
    head += '<meta name="viewport" content="width=device-width">'
    lines = "\n".join(body)
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{lines}</body></html>\n"


def _of_video(answer: Answer, key: str) -> list[str]:
    segments, end = answer["segments"], max(window["end"] for window in answer["windows"])
    if "values" in answer:
        drawn = _curves(answer["windows"], end)
        colours = dict.fromkeys(range(len(segments)), "#888")
    else:
        names = list(dict.fromkeys(segment["label"] for segment in segments))
        colours = {number: _colour(names.index(segment["label"])) for number, segment in enumerate(segments)}
        drawn = _bars(segments, colours, end, key)
    whole = ", ".join(f"{name} {figure}" for line in _whole(answer) for name, figure in lines_of(line))
    text = [_paragraph(f"{end:.1f} s; as a whole: {whole}"), *drawn]
    if not segments:
        text.append(_paragraph("no class is likely at any time"))
    return [*text, '<div class="cards">', *_cards(answer["video"], segments, colours, key), "</div>"]


def _whole(answer: Answer) -> list[Mapping[str, Any]]:
    return [answer] if "values" in answer else answer["top"]


def _bars(segments: Sequence[Mapping[str, Any]], colours: Mapping[int, str], end: float, key: str) -> list[str]:
    """One bar, or one per class if segments overlap."""
    overlap = any(one["end"] > two["start"] for one, two in itertools.pairwise(segments))
    names = list(dict.fromkeys(segment["label"] for segment in segments)) if overlap else [""]
    text = []
    for name in names[:_ROWS]:
        marks = []
        for number, segment in enumerate(segments):
            if name not in ("", segment["label"]):
                continue
            [(label, figure)] = lines_of(segment)
            place = f"left:{segment['start'] / end:.3%};width:{(segment['end'] - segment['start']) / end:.3%}"
            hint = html.escape(f"{_times(segment)}: {label} {figure}")
            shown = html.escape(f"{label} {figure}" if not name else figure)
            style = f"{place};background:{colours[number]}"
            marks.append(f'<a href="#{key}-{number}" title="{hint}" style="{style}">{shown}</a>')
        named = f'<span class="name">{_escaped(name)}</span>' if name else ""
        text.append(f'<div class="row">{named}<div class="bar">{"".join(marks)}</div></div>')
    if len(names) > _ROWS:
        text.append(_paragraph(f"and {len(names) - _ROWS} more classes, below"))
    return [*text, _ticks(end, "ticks of-rows" if overlap else "ticks")]


def _curves(windows: Sequence[Mapping[str, Any]], end: float) -> list[str]:
    """The values that a regression predicts over time, with a line at zero."""
    middles = [(window["start"] + window["end"]) / 2 for window in windows]
    values = np.array([[line["value"] for line in window["values"]] for window in windows])
    low, high = min(0.0, values.min()), max(0.0, values.max())
    scale = (high - low) or 1.0
    lines, names = [], []
    for target, line in enumerate(windows[0]["values"]):
        points = " ".join(
            f"{1000 * at / end:.1f},{97 - 94 * (value - low) / scale:.1f}"
            for at, value in zip(middles, values[:, target], strict=True)
        )
        lines.append(f'<polyline points="{points}" stroke="{_colour(target)}"/>')
        names.append(f'<b style="color:{_colour(target)}">{_escaped(line["name"])}</b>')
    zero = 97 + 94 * low / scale
    frame = f'<line x1="0" x2="1000" y1="{zero:.1f}" y2="{zero:.1f}"/>{"".join(lines)}'
    legend = f"<p>{', '.join(names)}, from {low:+.2f} to {high:+.2f}; the grey line is 0</p>"
    return [f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none">{frame}</svg>', _ticks(end, "ticks"), legend]


def _cards(video: str, segments: Sequence[Mapping[str, Any]], colours: Mapping[int, str], key: str) -> Iterable[str]:
    """A picture from the middle of each segment, with its time and answer."""
    pictures = _pictures(video, [(segment["start"] + segment["end"]) / 2 for segment in segments[:_PICTURES]])
    for number, segment in enumerate(segments):
        picture = f'<img alt="" src="{pictures[number]}">' if number < len(pictures) else ""
        lines = "<br>".join(f"<b>{html.escape(name)}</b> {figure}" for name, figure in lines_of(segment))
        style = f"border-color:{colours[number]}"
        yield f'<div class="card" id="{key}-{number}" style="{style}">{picture}{_times(segment)}<br>{lines}</div>'


def _pictures(video: str, moments: Sequence[float]) -> list[str]:
    """The frames at the given times of a video as data URLs; fewer if the video cannot be decoded to the end."""
    found: list[str] = []
    try:
        with open_video(video) as opened:
            last = opened.frames - 1
            numbers = np.clip(np.searchsorted(opened.times, np.array(moments) + 1e-6) - 1, 0, last)
            for start in range(0, len(numbers), _AT_ONCE):
                found += [_data(frame) for frame in opened.read(numbers[start : start + _AT_ONCE])]
    except VideoError:
        pass  # the answer is shown without its pictures
    return found


def _data(frame: UInt8[np.ndarray, "h w 3"]) -> str:
    height = max(1, round(frame.shape[0] * _WIDTH / frame.shape[1]))
    small = cv2.resize(frame, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def _times(segment: Mapping[str, Any]) -> str:
    return f"{segment['start']:.1f} to {segment['end']:.1f} s"


def _ticks(end: float, kind: str) -> str:
    marks = (f"<span>{end * tick / (_TICKS - 1):.1f} s</span>" for tick in range(_TICKS))
    return f'<div class="{kind}">{"".join(marks)}</div>'


def _colour(number: int) -> str:
    """The colour for a class or target number; the golden angle keeps colours apart."""
    return f"hsl({(205 + 137.5 * number) % 360:.0f} 50% 42%)"


def _paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{html.escape(printable(text))}</p>' if kind else f"<p>{html.escape(printable(text))}</p>"


def _escaped(name: str) -> str:
    return html.escape(one_line(name))
