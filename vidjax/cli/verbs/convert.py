"""`vidjax convert`: write public weights as a vidjax run, for from_pretrained, --config.init_from and evaluation."""

from __future__ import annotations

import argparse

from vidjax.cli import load_model, paths
from vidjax.cli.terminal import print_json, print_paths, say
from vidjax.cli.verb import Verb
from vidjax.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("source", metavar="SOURCE", help=load_model.HELP)
    parser.add_argument("folder", metavar="DIR", help="folder to write, new or empty")
    parser.add_argument("--json", action="store_true", help="print {folder, model, task, notes}")


def run(arguments: argparse.Namespace) -> int:
    """Write the run and print its folder."""
    paths.check_new(arguments.folder)
    model = load_model.load(arguments.source)
    with progress(f"writing {arguments.folder}"):
        from vidjax.export.folders import whole_folder
        from vidjax.training.convert import save_as_run

        with whole_folder(arguments.folder) as draft:
            config = save_as_run(model, draft)
    say(f"{config.model.name}, {config.task}; start training from it with --config.init_from={arguments.folder}")
    notes = []
    if model.num_classes is None and config.task == "classification":
        notes.append("the run holds the encoder alone; its predictor is left out")
    if model.answer and model.answer.activation == "sigmoid":
        notes.append(
            "the model has several labels per video, which the run does not record; predict with --score=sigmoid"
        )
    for note in notes:
        say(f"note: {note}")
    if arguments.json:
        about = {"folder": arguments.folder, "model": config.model.name, "task": config.task, "notes": notes}
        print_json(about)
    else:
        print_paths([arguments.folder])
    return 0


VERB = Verb(__doc__, add_arguments, run, "vidjax convert MCG-NJU/videomae-base runs/videomae")
