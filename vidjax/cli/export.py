"""`vidjax export`: write a model for PyTorch: model.safetensors and config.json, as transformers loads them."""

from __future__ import annotations

import argparse

from vidjax.cli import model_source
from vidjax.cli.terminal import progress, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("source", metavar="SOURCE", help=model_source.HELP)
    parser.add_argument("folder", metavar="DIR", help="folder to write, new or empty")


def run(arguments: argparse.Namespace) -> int:
    """Write the folder and print its name."""
    model_source.check_new(arguments.folder)
    model = model_source.load(arguments.source)
    with progress(f"writing {arguments.folder}"):
        from vidjax import weights

        notes = weights.export(model, arguments.folder)
    for note in notes:
        say(f"note: {note}")
    print(arguments.folder)
    return 0
