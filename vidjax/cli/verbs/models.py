"""`vidjax models`: list the models with their size, cost, published accuracy and sources of weights.

Parameters and multiply-accumulates are computed from the modules; published figures cite their source.
"""

from __future__ import annotations

import argparse
from typing import Any

from vidjax.cli.models_page import page
from vidjax.cli.models_table import EXPLAINED, HEADINGS, RETRIEVAL, WEIGHTS_EXPLAINED, retrievals, rows, sources
from vidjax.cli.terminal import print_json
from vidjax.cli.verb import Verb
from vidjax.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--family", default="", help="only the models of one family, such as videomae")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON, one object per model")
    form.add_argument("--markdown", action="store_true", help="print the page docs/models.md")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    cards = describe_all(arguments.family)
    if arguments.json:
        print_json(cards)
    elif arguments.markdown:
        print(page(cards), end="")
    else:
        _print_table(cards)
    return 0


def describe_all(family: str = "") -> list[dict[str, Any]]:
    """Return the cards of all models, or of one family; see `vidjax.models.zoo.describe`.

    Raises:
      ConfigError: for an unknown family.
    """
    from vidjax.errors import ConfigError
    from vidjax.models import FAMILIES, model_names
    from vidjax.models.zoo import describe

    if family and family not in FAMILIES:
        raise ConfigError(f"--family={family!r} is unknown; choose one of {', '.join(FAMILIES)}")
    names = [name for name in model_names() if not family or name.startswith(f"{family}_")]
    with progress("counting parameters", len(names), unit="models") as advance:
        cards = []
        for name in names:
            cards.append(describe(name))
            advance()
    return cards


def _print_table(cards: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from vidjax.models.zoo import NOTES

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for heading in HEADINGS:
        words = heading in ("model", "clip", "data", "views")
        table.add_column(heading, justify="left" if words else "right", no_wrap=heading != "data")
    for card in cards:
        for line in rows(card):
            table.add_row(*line)
    console = Console()
    console.print(table)
    if found := [(card["name"], *line) for card in cards for line in retrievals(card)]:
        second = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
        for number, heading in enumerate(("model", *RETRIEVAL)):
            second.add_column(heading, justify="left" if number < 2 else "right")
        for line in found:
            second.add_row(*line)
        console.print("", second)
    used = {result["note"] for card in cards for result in card["results"]}
    meanings = "; ".join(f"{note}: {meaning}" for note, meaning in NOTES.items() if note in used)
    console.print(f"\n{EXPLAINED} {meanings}", highlight=False, markup=False)
    console.print(f"\n{WEIGHTS_EXPLAINED}", highlight=False, markup=False)
    for card in cards:
        for number, (where, what, tested) in enumerate(sources(card)):
            if number == 0:
                console.print(f"{card['name']}:", highlight=False)
            about = f"{what}; {tested}" if tested else what
            console.print(f"  {where}  ({about})", highlight=False, markup=False, soft_wrap=True)


VERB = Verb(__doc__, add_arguments, run, "vidjax models --family=videomae")
