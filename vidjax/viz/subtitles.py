"""Write subtitles: SubRip (.srt), which every player reads, and WebVTT (.vtt), which browsers read."""

from __future__ import annotations

from collections.abc import Sequence

from vidjax.viz.timeline import Cue

_BREAKS_SRT = str.maketrans("<>{}", "\u2039\u203a()")  # players read <b> and {\an8} as markup, which cannot be escaped


def srt(cues: Sequence[Cue]) -> str:
    """The text of an .srt file."""
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = "\n".join(" ".join(line).translate(_BREAKS_SRT) for line in cue.lines)
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def webvtt(cues: Sequence[Cue]) -> str:
    """The text of a .vtt file (W3C, WebVTT, section 4)."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        text = "\n".join(" ".join(line) for line in cue.lines)
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
