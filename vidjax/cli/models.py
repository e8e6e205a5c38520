"""`vidjax models`: list the models: size, cost, published accuracy, and where their weights come from.

Parameters and multiply-accumulates are computed from the modules; what is published carries its source.
"""

from __future__ import annotations

import argparse
from typing import Any

from vidjax.cli.terminal import print_json, progress

HEADINGS = ("model", "params", "gmacs", "clip", "data", "views", "top-1", "top-5")
EXPLAINED = (
    "gmacs: billions of multiply-accumulates of one view, which papers call GFLOPs; VideoMamba's authors leave out "
    "what their fused kernel does, 14 to 24 %. clip: frames x stride, `all` where they are spread over the video, "
    "@ pixels where not 224. views: clips x crops. Accuracies are the published ones; vidjax models --json names the "
    "source of each."
)
WEIGHTS_EXPLAINED = (
    "Weights, for --model and vidjax.from_pretrained: owner/name is a hub id and owner/name/file.pth a file on the "
    "hub, both are fetched; other files are the authors', or in Google's scenic-bucket, and to be downloaded first."
)
_SHORT = {"Kinetics-": "K", "Something-Something v2": "SSv2"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("--family", default="", help="only the models of one family, such as videomae")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything that is known, one object a model")
    form.add_argument("--markdown", action="store_true", help="the page docs/models.md")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    cards = describe_all(arguments.family)
    if arguments.json:
        print_json(cards)
    elif arguments.markdown:
        from vidjax.cli.models_page import page

        print(page(cards), end="")
    else:
        _print_table(cards)
    return 0


def describe_all(family: str = "") -> list[dict[str, Any]]:
    """The cards of all models, or of one family's; see `vidjax.models.zoo.describe`.

    Raises:
      ConfigError: for an unknown family.
    """
    from vidjax.errors import ConfigError
    from vidjax.models import FAMILIES, model_names
    from vidjax.models.zoo import describe

    if family and family not in FAMILIES:
        raise ConfigError(f"--family={family!r} is unknown; choose one of {', '.join(FAMILIES)}")
    names = [name for name in model_names() if not family or name.startswith(f"{family}_")]
    with progress("counting parameters", len(names)) as advance:
        cards = []
        for name in names:
            cards.append(describe(name))
            advance()
    return cards


def rows(card: dict[str, Any]) -> list[tuple[str, ...]]:
    """The lines of one model, one for each published result, as text under `HEADINGS`; at least one line."""
    size = (card["name"], f"{card['params'] / 1e6:.1f}M")
    lines = []
    for result in card["results"]:
        data = _short(result["data"]) + (f", {result['note']}" if result["note"] else "")
        views = f"{result['clips']}x{result['crops']}" if result["clips"] else "?"
        accuracy = tuple("" if result[key] is None else f"{result[key]}" for key in ("top1", "top5"))
        lines.append((*size, *_clip(result), data, views, *accuracy))
        size = ("", "")
    return lines or [(*size, *_clip(card), "", "", "", "")]


def sources(card: dict[str, Any]) -> list[tuple[str, str]]:
    """Where weights of one model come from, and what they are, the published results first."""
    found = [(result["weights"], _holds(result)) for result in card["results"] if result["weights"]]
    return found + [(entry["weights"], entry["what"]) for entry in card["pretrained"]]


def _clip(facts: dict[str, Any]) -> tuple[str, str]:
    """The cost of a view, and what it is made of."""
    gmacs, (height, width) = facts["gmacs"], facts["image_size"]
    stride = {None: "", 0: " all"}.get(facts["stride"], f"x{facts['stride']}")
    size = "" if height == width == 224 else f"@{height}" if height == width else f"@{height}x{width}"
    return f"{gmacs:.{1 if 1 <= gmacs < 100 else 3 if gmacs < 1 else 0}f}", f"{facts['num_frames']}{stride}{size}"


def _holds(result: dict[str, Any]) -> str:
    note = f", {result['note']}" if result["note"] else ""
    return f"{_short(result['data'])}, {_clip(result)[1]}{note}"


def _short(data: str) -> str:
    for long, short in _SHORT.items():
        data = data.replace(long, short)
    return data


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
    used = {result["note"] for card in cards for result in card["results"]}
    meanings = "; ".join(f"{note}: {meaning}" for note, meaning in NOTES.items() if note in used)
    console.print(f"\n{EXPLAINED} {meanings}", highlight=False, markup=False)
    console.print(f"\n{WEIGHTS_EXPLAINED}", highlight=False, markup=False)
    for card in cards:
        for number, (where, what) in enumerate(sources(card)):
            if number == 0:
                console.print(f"{card['name']}:", highlight=False)
            console.print(f"  {where}  ({what})", highlight=False, markup=False, soft_wrap=True)
