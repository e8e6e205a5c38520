"""The time line of a video, as predict answers it: what to show at each moment, and a table for other programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from vidjax.errors import printable

Answer = Mapping[str, Any]  # what `vidjax.weights.predictors.answer` says of a video, and `video`, its name


@dataclasses.dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end` (seconds): lines of a name and a figure, such as ("archery", "87%")."""

    start: float
    end: float
    lines: tuple[tuple[str, str], ...]


def cues(answer: Answer) -> list[Cue]:
    """What is shown when: no two cues overlap, and there is none where the time line has nothing.

    Classes that are seen together share a cue, the most probable first.
    """
    segments = answer["segments"]
    edges = sorted({segment[side] for segment in segments for side in ("start", "end")})
    found: list[Cue] = []
    for start, end in itertools.pairwise(edges):
        now = [segment for segment in segments if segment["start"] < end and segment["end"] > start]
        now.sort(key=lambda segment: -segment.get("probability", 0.0))
        if lines := tuple(line for segment in now for line in lines_of(segment)):
            found.append(Cue(start, end, lines))
    return found


def lines_of(segment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and figure of each answer of a segment: its class with the probability, or the numbers of a regression."""
    if "values" in segment:
        return [(one_line(line["name"]), f"{line['value']:+.2f}") for line in segment["values"]]
    return [(one_line(segment["label"]), f"{segment['probability']:.0%}")]


def one_line(name: str) -> str:
    """A name without line breaks, and with nothing in it that steers a terminal."""
    return printable(" ".join(name.split()))


def csv_table(answers: Sequence[Answer]) -> str:
    """The time lines of several videos as CSV: a line for each segment, and one with `error` for a video without any.

    Columns: video, start and end in seconds, then label (of actions also verb and noun) and probability, or a column
    for each target of a regression; windows and agree as `vidjax.evaluation.time_line.Segment` has them.
    """
    rows = [row for answer in answers for row in _rows(answer)]
    columns = list(dict.fromkeys(("video", "start", "end", *itertools.chain(*rows), "error")))
    columns.append(columns.pop(columns.index("error")))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(answer: Answer) -> list[dict[str, Any]]:
    if "error" in answer:
        return [{"video": answer["video"], "error": answer["error"]}]
    rows = []
    for segment in answer["segments"]:
        row = {name: value for name, value in segment.items() if name != "values"}
        rows.append({"video": answer["video"]} | row | {v["name"]: v["value"] for v in segment.get("values", ())})
    return rows
