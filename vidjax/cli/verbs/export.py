"""`vidjax export`: write a model for PyTorch: model.safetensors and config.json, as transformers loads them."""

from __future__ import annotations

import argparse

from vidjax.cli import load_model, paths
from vidjax.cli.terminal import say
from vidjax.cli.verb import Verb
from vidjax.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("source", metavar="SOURCE", help=load_model.HELP)
    parser.add_argument("folder", metavar="DIR", help="folder to write, new or empty")


def run(arguments: argparse.Namespace) -> int:
    """Write the folder and print its name."""
    paths.check_new(arguments.folder)
    model = load_model.load(arguments.source)
    with progress(f"writing {arguments.folder}"):
        from vidjax import weights

        notes = weights.export(model, arguments.folder)
    for note in notes:
        say(f"note: {note}")
    print(arguments.folder)
    return 0


VERB = Verb(__doc__, add_arguments, run, "vidjax export runs/finetune exported")
