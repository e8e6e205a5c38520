"""`vidjax configs`: list the shipped experiments, show one, or copy one to edit.

Each is a file that `python -m vidjax.main` takes by name as --config.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.config import find_experiment, shipped
from vidjax.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="the experiment to show")
    about = "copy NAME's file to PATH instead of showing it; default NAME.py in the working directory"
    parser.add_argument("--copy", nargs="?", const="", metavar="PATH", help=about)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print names, sizes, summaries and paths as JSON")
    form.add_argument(
        "--markdown", choices=("recipes", "experiments"), nargs="?", const="recipes", metavar="PAGE",
        help="print the page docs/recipes.md (default) or docs/experiments.md",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print the list or one file, or copy a file."""
    if not arguments.name and arguments.copy is not None:
        raise ConfigError("--copy needs the experiment's name: vidjax configs NAME --copy PATH")
    if arguments.markdown == "recipes":
        from vidjax.cli import recipes_page

        print(recipes_page.page(), end="")
        return 0
    if arguments.markdown == "experiments":
        from vidjax.cli import experiments_page

        print(experiments_page.page(map(_describe, shipped().values())), end="")
        return 0
    paths = [find_experiment(arguments.name)] if arguments.name else list(shipped().values())
    if arguments.copy is not None:
        _copy(paths[0], Path(arguments.copy or paths[0].name))
    elif arguments.json:
        print_json([_describe(path) for path in paths])
    elif arguments.name:
        print(paths[0].read_text(encoding="utf-8"), end="")
    else:
        _print_table([_describe(path) for path in paths])
    return 0


def _describe(path: Path) -> dict[str, Any]:
    """Return the name, sizes, first docstring line and path of an experiment file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sizes = getattr(module, "RECIPES", None) or getattr(module, "SIZES", ())
    return {
        "name": path.stem,
        "sizes": list(sizes),
        "about": str(module.__doc__).split("\n", 1)[0].rstrip("."),
        "path": str(path),
    }


def _copy(path: Path, target: Path) -> None:
    if target.is_dir():
        target /= path.name
    if target.exists():
        raise ConfigError(f"{target} exists; name another file: --copy PATH")
    if target.suffix != ".py" or not target.parent.is_dir():
        raise ConfigError(f"{target} must be a .py file in a folder that exists")
    target.write_bytes(path.read_bytes())
    say(f"edit it and train with: python -m vidjax.main --config={target} --workdir=RUN")
    print(target)


def _print_table(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for about in found:
        table.add_row(Text(about["name"], "bold"), Text(about["about"]))
        if about["sizes"]:
            table.add_row("", Text(" ".join(about["sizes"]), "dim"))
    Console().print(table)
    say("use --config=NAME or NAME:SIZE; NAME:smoke is a tiny model on the built-in videos, for every NAME")


VERB = Verb(__doc__, add_arguments, run, "vidjax configs videomae_k400 --copy mine.py")
