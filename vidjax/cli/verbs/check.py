"""`vidjax check`: say what is missing in the root of a data set.

Names, files, classes and counts are compared with what is published; --read opens every video. The exit code is 0 if
nothing is missing, 1 if something is.
"""

from __future__ import annotations

import argparse
import os

from vidjax.cli import paths
from vidjax.cli.terminal import print_json, progress, say
from vidjax.cli.verb import Verb
from vidjax.registry import names_in

SOMETHING_MISSING = 1
DATASET_HELP = f"{', '.join(names_in('vidjax.data.datasets'))}, or module:ATTR of a module of your own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    parser.add_argument("--root", required=True, metavar="DIR", help="where the data set is, or its records")
    parser.add_argument("--splits", default="", help="comma-separated; default train,val (afew_va: fold1 to fold5)")
    about = "open every video: index reads packets and the first frame (milliseconds a video), decode every frame"
    parser.add_argument("--read", default="", choices=("index", "decode"), help=about)
    about = "draw classes, durations, sizes and failures into DIR, with their numbers; opens every video (--read index)"
    parser.add_argument("--charts", default="", metavar="DIR", help=about)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="videos read at a time")
    parser.add_argument("--json", action="store_true", help="everything as JSON, with every missing file")


def run(arguments: argparse.Namespace) -> int:
    """Look, and print what is there and what is not."""
    from vidjax.data.audit import audit
    from vidjax.data.datasets import DATASETS

    if arguments.charts:
        paths.check_writable(arguments.charts)
    splits = tuple(filter(None, arguments.splits.split(",")))
    with progress(f"checking {arguments.root}") as advance:
        audits = audit(
            arguments.dataset, arguments.root, splits,
            read=arguments.read or ("index" if arguments.charts else ""), threads=max(1, arguments.threads),
            on_video=advance,
        )  # fmt: skip
    complete = not any(about.problems for about in audits)
    if arguments.json:
        listed = [about.as_json() for about in audits]
        print_json({"dataset": arguments.dataset, "root": arguments.root, "complete": complete, "splits": listed})
    else:
        _print(audits)
    if arguments.charts:
        from vidjax.viz.dataset_charts import draw_dataset

        for path in draw_dataset(DATASETS.find(arguments.dataset).title, audits, arguments.charts):
            say(f"wrote {path}")
    return 0 if complete else SOMETHING_MISSING


def _print(audits: list) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("split", "found as", box=box.SIMPLE, pad_edge=False)
    for column in ("listed", "missing", "classes", "unreadable"):
        table.add_column(column, justify="right")
    for about in audits:
        counts = (about.listed, len(about.missing), f"{about.classes} of {about.num_classes}", len(about.unreadable))
        table.add_row(about.split, about.layout or "-", *map(str, counts))
    console.print(table)
    for about in audits:
        for problem in about.problems:
            console.print(f"{about.split}: {problem}", highlight=False, markup=False)
        for note in about.notes:
            console.print(f"{about.split}: note: {note}", highlight=False, markup=False)
    if not any(about.problems for about in audits):
        console.print("nothing is missing")


VERB = Verb(__doc__, add_arguments, run, "vidjax check kinetics400 --root=/data/k400 --charts=charts")
