"""The results of a benchmark: rows of a table and of JSON, `{name, ours, peer, unit, ratio, spread}`.

The ratio is how many times faster vidjax is, whether the unit is a rate or a time.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

from vidjax.files import write_json

NOTE = (
    "The fastest of interleaved rounds counts. A ratio above 1 means that vidjax is faster; next to it are the lowest "
    "and highest ratios of single rounds."
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      name: what was measured, and against whom.
      ours, peer: figures of the fastest round of each, in `unit`; peer is None if there was none to compare with.
      ratio: above 1 if vidjax is faster; None without a peer.
      spread: the lowest and highest ratios of single rounds; None without a peer.
    """

    name: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None
    spread: tuple[float, float] | None = None


def rates(name: str, unit: str, ours: Sequence[float], peers: Mapping[str, Sequence[float]]) -> list[Row]:
    """Make one row per peer from rates; more is better.

    Args:
      ours, peers: by round; all have the same rounds.
    """
    if not peers:
        return [Row(name, max(ours), None, unit, None)]
    return [
        Row(f"{name}, against {who}", max(ours), max(peer), unit, max(ours) / max(peer), _spread(ours, peer))
        for who, peer in peers.items()
    ]


def times(name: str, ours: Sequence[float], peers: Mapping[str, Sequence[float]], unit: str = "ms") -> list[Row]:
    """Make one row per peer from times, or from other values for which less is better.

    Args:
      ours, peers: by round; all have the same rounds. Values are in seconds if the unit is ms, else in the unit.
    """
    scale, best = (1e3 if unit == "ms" else 1.0), min(ours)
    if not peers:
        return [Row(name, scale * best, None, unit, None)]
    return [
        Row(f"{name}, against {who}", scale * best, scale * min(peer), unit, min(peer) / best, _spread(peer, ours))
        for who, peer in peers.items()
    ]


def _spread(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    ratios = [one / other for one, other in zip(above, below, strict=True)]
    return min(ratios), max(ratios)


def as_dict(row: Row) -> dict[str, str | float | None]:
    """Return the row as a JSON object."""
    return dataclasses.asdict(row)


def write_rows(rows: Iterable[Row], path: str) -> None:
    """Write the rows as JSON, creating the folder if necessary."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_json(path, [as_dict(row) for row in rows])


def print_table(rows: Iterable[Row], title: str, notes: Iterable[str]) -> None:
    """Print the rows, with a title above and notes below."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measurement", title=title, title_justify="left")
    for column in ("vidjax", "peer", "unit", "ratio", "of rounds"):
        table.add_column(column, justify="left" if column == "unit" else "right", no_wrap=True)
    for row in rows:
        spread = "-" if row.spread is None else " to ".join(map(_short, row.spread))
        table.add_row(row.name, _short(row.ours), _short(row.peer), row.unit, _short(row.ratio), spread)
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
