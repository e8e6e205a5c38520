"""Show the results of a search as one self-contained HTML page on which the moments play."""

from __future__ import annotations

import base64
import html
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vidjax.errors import one_line, printable
from vidjax.search.pictures import moment_pictures
from vidjax.search.queries import read_picture
from vidjax.viz.moving import mp4

_SIDE = 240  # maximum long side of a picture, in pixels
_STYLE = (
    "body{max-width:70rem;margin:auto;padding:1rem 1rem 3rem;font:16px/1.5 system-ui,sans-serif;color:#222}"
    "h1{font-size:1.5rem;margin-bottom:.3rem;overflow-wrap:anywhere}p{margin:.3rem 0;color:#555}"
    ".asked{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center}.asked div{flex:1 1 16rem}"
    ".asked video,.asked img{width:200px;border-radius:6px}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:1.2rem .9rem;margin-top:1.2rem}"
    ".card{font-size:.85rem;line-height:1.35;overflow-wrap:anywhere}"
    ".card video,.none{width:100%;display:block;border-radius:6px;background:#eee}"
    ".none{padding:2rem 0;text-align:center}"
    ".line{display:flex;justify-content:space-between;margin-top:.3rem;font-variant-numeric:tabular-nums}"
    ".bar{height:4px;background:#eee;border-radius:2px;margin:.2rem 0}"
    ".bar i{display:block;height:100%;background:#1a5fb4;border-radius:2px}a{color:#1a5fb4}"
)


def page(
    kind: str,
    query: str,
    moments: Sequence[Mapping[str, Any]],
    about: str,
    on_moment: Callable[[], object] = lambda: None,
) -> str:
    """Make the page; videos are read again for their pictures.

    Args:
      kind: what the query is: text, video or image; query: the text, or the path of the file.
      moments: {video, start, end, score}, best first; `query`, if present, is the {start, end} of the query's window.
      about: what was searched.
      on_moment: called after each moment.
    """
    title = f"Moments like “{query}”" if kind == "text" else f"Moments like {pathlib.PurePath(query).name}"
    body = [
        f'<div class="asked">{_shown(kind, query)}<div><h1>{_escaped(title)}</h1><p>{_escaped(about)}</p></div></div>'
    ]
    body.append('<div class="cards">')
    for rank, moment in enumerate(moments, 1):
        body.append(_card(rank, moment))
        on_moment()
    body.append("</div>" if moments else "</div><p>There are no other videos in the index.</p>")
    head = f'<meta charset="utf-8"><title>{_escaped(title)}</title><style>{_STYLE}</style>'
    head += '<meta name="viewport" content="width=device-width">'
    lines = "\n".join(body)
    return printable(f"<!doctype html>\n<html lang='en'><head>{head}</head><body>{lines}</body></html>\n")


def clock(part: Mapping[str, float]) -> str:
    """Format the `start` and `end` of a part of a video the way a player shows times."""
    return f"{_clock(part['start'])} - {_clock(part['end'])}"


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    left = f"{minutes:02d}:" if hours else f"{minutes}:"
    return f"{f'{hours}:' if hours else ''}{left}{tenths // 10:02d}.{tenths % 10}"


def _card(rank: int, moment: Mapping[str, Any]) -> str:
    path = pathlib.Path(moment["video"])
    address = f"{path.absolute().as_uri()}#t={moment['start']:.2f},{moment['end']:.2f}"
    like = f"<p>like {clock(moment['query'])} of the query</p>" if "query" in moment else ""
    share = 100 * min(max(moment["score"], 0.0), 1.0)
    return (
        f'<div class="card">{_player(moment["video"], moment["start"], moment["end"])}'
        f'<div class="line"><b>{rank}. {clock(moment)}</b><span>{moment["score"]:.3f}</span></div>'
        f'<div class="bar"><i style="width:{share:.1f}%"></i></div>'
        f'<a href="{html.escape(address)}" title="{_escaped(str(path))}">{_escaped(path.name)}</a>{like}</div>'
    )


def _player(video: str, start: float, end: float) -> str:
    """Return a looping player of a part of a video, or a note if it cannot be read."""
    frames, rate = moment_pictures(video, start, end)
    if not len(frames):
        return '<div class="none">cannot be read now</div>'
    data = base64.b64encode(mp4(list(frames), rate)).decode()
    return f'<video autoplay loop muted playsinline controls src="data:video/mp4;base64,{data}"></video>'


def _shown(kind: str, query: str) -> str:
    """Return the query video or picture; nothing for a text, which is in the title."""
    if kind == "video":
        return _player(query, 0.0, np.inf)
    if kind == "image":
        return f'<img alt="" src="{_still(read_picture(query))}">'
    return ""


def _still(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    scale = min(1.0, _SIDE / max(picture.shape[:2]))
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def _escaped(name: str) -> str:
    return html.escape(one_line(name))
