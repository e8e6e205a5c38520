"""The Markdown table that `make test-hub` writes, with a row for each comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

MEANINGS = {
    "equal": "the largest difference is within the limit",
    "finite": "nothing to compare with: every output is finite and has the module's shape",
    "differs": "the difference exceeds the limit: a mistake in vidjax, or a file that is not the published one",
    "failed": "the checkpoint is here but could not be read or computed",
    "not compared": "what the comparison needs was unavailable",
    "not had": "the checkpoint was unavailable",
}
_HEADINGS = ("checkpoint", "layout", "revision", "MB", "compared with", "difference", "limit", "verdict", "s", "GB")


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison of one checkpoint.

    Attributes:
      name, layout: the checkpoint's.
      revision: the commit of the hub, or the file's SHA-256.
      bytes: bytes that were read.
      compared: what it was compared with, or why it was not.
      largest: the largest difference; None if there is nothing to compare with.
      limit: the limit of the difference; None if there is nothing to compare with.
      verdict: a key of `MEANINGS`.
      seconds, memory: time and peak memory in bytes of the process that read and compared it; the same in all rows of a
        checkpoint.
    """

    name: str
    layout: str
    revision: str = ""
    bytes: int | None = None
    compared: str = ""
    largest: float | None = None
    limit: float | None = None
    verdict: str = ""
    seconds: float | None = None
    memory: int | None = None

    @property
    def sentence(self) -> str:
        """The row as one sentence."""
        if self.largest is None:
            return f"{self.verdict}: {self.compared}"
        return f"{self.verdict}: {self.compared}: {self.largest:.1e} of at most {self.limit:.1e}"


def markdown(rows: Sequence[Row], total: int) -> str:
    """The page; `total` is the number of checkpoints, some of which may still be missing."""
    done = len({row.name for row in rows})
    used = [verdict for verdict in MEANINGS if any(row.verdict == verdict for row in rows)]
    counts = ", ".join(f"{sum(row.verdict == verdict for row in rows)} {verdict}" for verdict in used)
    lines = [_line(_HEADINGS), _line(["---"] * len(_HEADINGS)), *(_line(_cells(row)) for row in rows)]
    meanings = "; ".join(f"*{verdict}*: {MEANINGS[verdict]}" for verdict in used)
    return "\n".join(
        [
            "# First light on public weights\n",
            f"{done} of {total} checkpoints, {len(rows)} comparisons: {counts}.\n",
            *lines,
            f"\n{meanings}. The difference is the largest one; s and GB are the time and peak memory of the process "
            "that reads a checkpoint and computes both sides.\n",
        ]
    )


def _cells(row: Row) -> tuple[str, ...]:
    def shown(value: float | None, form: str, unit: float = 1.0) -> str:
        return "" if value is None else format(value / unit, form)

    return (
        f"`{row.name}`", row.layout, row.revision.removeprefix("sha256:")[:12], shown(row.bytes, ".1f", 1e6),
        row.compared.replace("|", "\\|"), shown(row.largest, ".1e"), shown(row.limit, ".1e"), row.verdict,
        shown(row.seconds, ".0f"), shown(row.memory, ".1f", 1e9),
    )  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
