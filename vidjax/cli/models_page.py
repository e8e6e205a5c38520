"""docs/models.md, made from the zoo by `vidjax models --markdown`; a test keeps the two the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vidjax.cli.models_table import EXPLAINED, HEADINGS, WEIGHTS_EXPLAINED, rows, sources

_HEAD = """# Models

Made by `vidjax models --markdown`; do not edit. Parameters and multiply-accumulates are computed from the modules, and
tests compare them with the official modules and the published figures (`tests/models/test_zoo.py`). `*_tiny` are ours,
for tests and the quickstart. Everything here is also in `vidjax models --json`.
"""


def page(cards: list[dict[str, Any]]) -> str:
    """The whole page."""
    from vidjax.models.zoo import NOTES

    meanings = "; ".join(f"*{note}*: {meaning}" for note, meaning in NOTES.items())
    parts = [_HEAD, f"{EXPLAINED}\n\nNotes: {meanings}.\n\n{WEIGHTS_EXPLAINED}\n"]
    for family in dict.fromkeys(card["family"] for card in cards):
        parts += _family(family, [card for card in cards if card["family"] == family])
    return "\n".join(parts).rstrip("\n") + "\n"


def _family(family: str, cards: list[dict[str, Any]]) -> list[str]:
    from vidjax.models import FAMILIES

    where = [(card["name"], f"`{weights}`", *others) for card in cards for weights, *others in sources(card)]
    names = dict.fromkeys(result["source"] for card in cards for result in card["results"])
    lines = [line for card in cards for line in rows(card)]
    parts = [f"## {FAMILIES[family].heading or FAMILIES[family].title}\n", _table(HEADINGS, lines)]
    if where:
        parts.append(_table(("model", "weights", "trained on", "tested with"), where))
    if names:
        parts.append(f"Accuracies: {'; '.join(names)}.\n")
    return parts


def _table(headings: Iterable[str], lines: Iterable[tuple[str, ...]]) -> str:
    headings = tuple(headings)
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, ("---",) * len(headings), *lines)) + "\n"
