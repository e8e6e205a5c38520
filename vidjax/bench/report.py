"""The answer of a benchmark: rows of a table and of JSON, `{name, ours, peer, unit, ratio}`.

The ratio says how many times faster vidjax is, whether the unit is a rate or a time.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

from vidjax.files import write_json


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      name: what was measured, and against whom.
      ours, peer: in `unit`; peer is None where there was nobody to compare with.
      ratio: above 1 where vidjax is faster; None without a peer.
    """

    name: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None


def rates(name: str, unit: str, ours: float, peers: dict[str, float]) -> list[Row]:
    """A row for each peer, of rates (more is faster)."""
    if not peers:
        return [Row(name, ours, None, unit, None)]
    return [Row(f"{name}, against {who}", ours, peer, unit, ours / peer) for who, peer in peers.items()]


def times(name: str, ours: float, peers: dict[str, float]) -> list[Row]:
    """A row for each peer, of seconds (less is faster), in milliseconds."""
    if not peers:
        return [Row(name, 1e3 * ours, None, "ms", None)]
    return [Row(f"{name}, against {who}", 1e3 * ours, 1e3 * peer, "ms", peer / ours) for who, peer in peers.items()]


def as_dict(row: Row) -> dict[str, str | float | None]:
    """The row as JSON has it."""
    return dataclasses.asdict(row)


def write_rows(rows: Iterable[Row], path: str) -> None:
    """Write the rows as JSON; the folder is made if need be."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_json(path, [as_dict(row) for row in rows])


def print_table(rows: Iterable[Row], title: str, notes: Iterable[str]) -> None:
    """Print the rows, the hardware above and the formulas below."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measurement", title=title, title_justify="left")
    for column in ("vidjax", "peer", "unit", "ratio"):
        table.add_column(column, justify="left" if column == "unit" else "right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, _short(row.ours), _short(row.peer), row.unit, _short(row.ratio))
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
