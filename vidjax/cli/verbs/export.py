"""`vidjax export`: write a model for other software: transformers, jax alone, ONNX Runtime, or the hub.

`transformers` (the default) is model.safetensors and config.json. `stablehlo` is a program for CPUs, NVIDIA GPUs and
TPUs with a loader that needs jax alone, `onnx` one for ONNX Runtime; both take uint8 frames and give probabilities, and
preprocessing.json says how frames are taken.
"""

from __future__ import annotations

import argparse

from vidjax.cli import load_model, paths
from vidjax.cli.terminal import say
from vidjax.cli.verb import Verb
from vidjax.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help=load_model.HELP)
    add("folder", metavar="DIR", help="folder to write, new or empty")
    about = "transformers, for PyTorch; stablehlo, a program that runs with jax alone (transformers)"
    add("--format", choices=("transformers", "stablehlo"), default="transformers", help=about)


def run(arguments: argparse.Namespace) -> int:
    """Write the folder and print its name."""
    paths.check_new(arguments.folder)
    model = load_model.load(arguments.source)
    notes: tuple[str, ...] = ()
    with progress(f"writing {arguments.folder}"):
        if arguments.format == "stablehlo":
            from vidjax.export import stablehlo

            stablehlo.write(model, arguments.folder)
        else:
            from vidjax import weights

            notes = weights.export(model, arguments.folder)
    for note in notes:
        say(f"note: {note}")
    print(arguments.folder)
    return 0


VERB = Verb(__doc__, add_arguments, run, "vidjax export runs/finetune exported --format=stablehlo")
