"""`vidjax export`: write a model for other software: transformers, jax alone, ONNX Runtime, or the hub.

`transformers` (the default) writes model.safetensors and config.json. `stablehlo` writes a program for CPUs, NVIDIA
GPUs and TPUs with a loader that needs only jax; `onnx` writes one for ONNX Runtime. Both programs take uint8 frames and
return probabilities or regression values, and preprocessing.json records how frames are taken.
"""

from __future__ import annotations

import argparse
import pathlib

from vidjax.cli import load_model, paths
from vidjax.cli.terminal import print_json, print_paths, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError
from vidjax.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help=load_model.HELP)
    add("folder", metavar="DIR", help="folder to write, new or empty")
    about = "transformers, for PyTorch; stablehlo, for jax without vidjax; onnx, for ONNX Runtime; default transformers"
    add("--format", choices=("transformers", "stablehlo", "onnx"), default="transformers", help=about)
    about = "write a folder to upload to the hub as this repository: weights, model card, and a Space with a demo"
    add("--hub-layout", metavar="OWNER/NAME", help=about)
    add("--license", default="", help="licence for the card of --hub-layout, by its hub name, such as apache-2.0")
    add("--json", action="store_true", help="print {folder, files, notes}")


def run(arguments: argparse.Namespace) -> int:
    """Write the folder and print its name, or what it holds as JSON."""
    if arguments.hub_layout and arguments.format != "transformers":
        raise ConfigError(f"--hub-layout holds weights, not --format={arguments.format}; export twice, to two folders")
    if arguments.license and not arguments.hub_layout:
        raise ConfigError("--license is for the card of --hub-layout=OWNER/NAME; give both")
    paths.check_new(arguments.folder)
    model = load_model.load(arguments.source)
    notes: tuple[str, ...] = ()
    with progress(f"writing {arguments.folder}"):
        if arguments.format == "stablehlo":
            from vidjax.export import stablehlo

            stablehlo.write(model, arguments.folder)
        elif arguments.format == "onnx":
            from vidjax.export import onnx_file

            onnx_file.write(model, arguments.folder)
        elif arguments.hub_layout:
            from vidjax.export import hub_folder

            notes = hub_folder.write(model, arguments.folder, arguments.hub_layout, arguments.license)
        else:
            from vidjax import weights
            from vidjax.export.folders import whole_folder
            from vidjax.weights import preprocessing

            with whole_folder(arguments.folder) as draft:
                notes = weights.export(model, draft)
                if model.clip_recipe and (not model.answer or model.answer.kind == "classes"):
                    preprocessing.write(draft, model)
    for note in notes:
        say(f"note: {note}")
    if arguments.json:
        folder = pathlib.Path(arguments.folder)
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        print_json({"folder": arguments.folder, "files": files, "notes": notes})
    else:
        print_paths([arguments.folder])
    return 0


VERB = Verb(__doc__, add_arguments, run, "vidjax export runs/finetune exported --format=stablehlo")
