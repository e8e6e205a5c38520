"""The timeline of a predicted video, as labels to show at each moment and as a CSV table for other programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from vidjax.errors import one_line, printable

Answer = Mapping[str, Any]  # the result of `vidjax.weights.predictors.answer`, with the video's name as `video`


@dataclasses.dataclass(frozen=True)
class Cue:
    """A label shown from `start` to `end` (seconds): lines of a name and a figure, such as ("archery", "87%")."""

    start: float
    end: float
    lines: tuple[tuple[str, str], ...]


def cues(answer: Answer) -> list[Cue]:
    """Turn the segments of a timeline into cues, which do not overlap; times without a segment have no cue.

    Classes that occur at the same time share a cue, the most probable first.
    """
    segments = sorted(answer["segments"], key=lambda segment: segment["start"])
    edges = sorted({segment[side] for segment in segments for side in ("start", "end")})
    found: list[Cue] = []
    now: list[Mapping[str, Any]] = []
    begun = 0
    for start, end in itertools.pairwise(edges):
        while begun < len(segments) and segments[begun]["start"] <= start:
            now.append(segments[begun])
            begun += 1
        now = [segment for segment in now if segment["end"] > start]
        likeliest_first = sorted(now, key=lambda segment: -segment.get("probability", 0.0))
        if lines := tuple(line for segment in likeliest_first for line in lines_of(segment)):
            found.append(Cue(start, end, lines))
    return found


def lines_of(segment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The name and figure of each answer in a segment: its class and probability, or the values of a regression."""
    if "values" in segment:
        return [(one_line(line["name"]), f"{line['value']:+.2f}") for line in segment["values"]]
    return [(one_line(segment["label"]), f"{segment['probability']:.0%}")]


def csv_table(answers: Sequence[Answer]) -> str:
    """The timelines of several videos as CSV: one line per segment, and one with `error` per video that failed.

    The first columns are `video`, `start` and `end` (in seconds), the last one is `error`. In between, classes have
    `label` (actions also `verb` and `noun`), `probability`, `windows` and `agree`, which
    `vidjax.evaluation.timeline.Segment` explains; a regression has one column per target. A target with the name of
    another column, such as `start`, gets the column `start (value)`.
    """
    rows = [{name: _cell(value) for name, value in row.items()} for answer in answers for row in _rows(answer)]
    columns = list(dict.fromkeys(("video", "start", "end", *itertools.chain(*rows), "error")))
    columns.append(columns.pop(columns.index("error")))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _by_column(values: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    taken = ("video", "start", "end", "error")
    return {f"{v['name']} (value)" if v["name"] in taken else v["name"]: v["value"] for v in values}


def _rows(answer: Answer) -> list[dict[str, Any]]:
    if "error" in answer:
        return [{"video": answer["video"], "error": answer["error"]}]
    rows = []
    for segment in answer["segments"]:
        row = {name: value for name, value in segment.items() if name != "values"}
        rows.append({"video": answer["video"]} | row | _by_column(segment.get("values", ())))
    return rows
