"""`vidjax runs`: list and compare runs: the task, progress, main metric and outcome of each.

A folder is a run or contains runs, up to five levels deep. The problems of an incomplete or damaged run are listed
below the table.
"""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import TYPE_CHECKING

from vidjax.cli import paths
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError, nearest_path
from vidjax.files import in_bucket, located, write_whole
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.training.run_summary import RunSummary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("folders", nargs="+", metavar="DIR", help="the workdir of a run, or a folder of runs; also gs://...")
    add("--out", default="", metavar="PAGE.html", help="write a page with overlaid curves and the settings that differ")
    add("--json", action="store_true", help="print one object per run, with all its notes")


def run(arguments: argparse.Namespace) -> int:
    """Find and read the runs, and print or write the comparison."""
    if arguments.out:
        _check_page(arguments.out)
    for folder in arguments.folders:
        _check_there(folder)
    from vidjax.cli import runs_page
    from vidjax.training.run_summary import find_runs, summarise_run

    with progress("looking for runs"):
        found = list(dict.fromkeys(run for folder in arguments.folders for run in find_runs(folder)))
    if not found:
        raise ConfigError(
            f"there is no run in {', '.join(arguments.folders)}; give the --workdir of a run, or a folder of runs"
        )
    runs: dict[str, RunSummary] = {}
    with progress("reading runs", len(found), unit="runs") as advance:
        for name, folder in zip(runs_page.short_names(found), found, strict=True):
            runs[name] = summarise_run(folder)
            advance()
    if arguments.json:
        print_json(runs_page.as_json(runs))
    else:
        runs_page.print_table(runs)
    if arguments.out:
        with progress("drawing curves"):
            write_whole(arguments.out, runs_page.page(runs))
        say(f"page: {arguments.out}")
    return 0


def _check_there(folder: str) -> None:
    if not located(folder).is_dir():
        near = "" if in_bucket(folder) else nearest_path(folder)
        raise ConfigError(f"there is no folder {folder}{f'; did you mean {near}?' if near else ''}")


def _check_page(out: str) -> None:
    if not out.endswith(".html"):
        raise ConfigError(f"--out={out} must be a page; give a name that ends in .html")
    if os.path.isdir(out):
        raise ConfigError(f"--out={out} is a folder; give the name of a file")
    if not in_bucket(out):
        folder = pathlib.Path(out).absolute().parent
        paths.check_writable(os.fspath(folder))
        folder.mkdir(parents=True, exist_ok=True)


VERB = Verb(__doc__, add_arguments, run, "vidjax runs runs --out compared.html")
