"""`vidjax check`: report what is missing from a data set, or how training will use a folder of videos.

Names, files, classes and counts are compared with the published ones. --read opens every video and compares it with its
checksum if SHA256SUMS in the root, or beside the list, has one. For a folder or a list of videos, it prints the classes
and splits that training will use, and opens some videos for their lengths and sizes. A folder that `vidjax embed` wrote
is read and compared with its hashes. --config checks every source of an experiment's mixture. The exit code is 0 if
nothing is missing or damaged, else 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidjax.cli import paths
from vidjax.cli.check_mixture import check_mixture_of
from vidjax.cli.check_page import print_audits
from vidjax.cli.check_store import check_store, is_store
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.config import Config, DataConfig, choices, with_keys
from vidjax.errors import ConfigError, DataError, nearest_path
from vidjax.progress import progress
from vidjax.registry import is_outside, names_in

if TYPE_CHECKING:
    from vidjax.data.audit import SplitAudit

SOMETHING_MISSING = 1
SAMPLED = 1000  # videos per split of a folder that are opened unless asked otherwise
NAMES = names_in("vidjax.data.datasets")
DATASET_HELP = f"{', '.join(NAMES)}, or module:ATTR for your own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    about = f"a folder or a list of videos; or {DATASET_HELP}; or a folder of features"
    parser.add_argument("dataset", metavar="DIR_OR_DATASET", nargs="?", default="", help=about)
    about = "instead, check the sources of an experiment's mixture; --config.data.mixture.NAME.root=DIR works too"
    parser.add_argument("--config", default="", metavar="NAME[:ARG,ARG]", help=about)
    parser.add_argument("--root", default="", metavar="DIR", help="the folder of the named data set or of its records")
    parser.add_argument(
        "--splits", default="", help="comma-separated; default train,val (afew_va: fold1 to fold5; lvu: 21 splits)"
    )
    about = "open every video: `index` reads packets and the first frame (milliseconds per video), `decode` all frames"
    about += f"; by default up to {SAMPLED} videos per split of a folder are indexed, and none of a data set"
    parser.add_argument("--read", default="", choices=("index", "decode"), help=about)
    about = "open every video and add the readable ones to SHA256SUMS in the root, in the format of sha256sum; "
    about += "existing lines are kept, and files that do not match theirs are reported"
    parser.add_argument("--write-checksums", action="store_true", help=about)
    about = "another list of checksums, as --config.data.checksums; its paths are relative to the root"
    parser.add_argument("--checksums", default="", metavar="FILE", help=about)
    about = "open every video and chart classes, durations, sizes and failures in DIR, as PNG and charts.json"
    parser.add_argument("--charts", default="", metavar="DIR", help=about)
    about = "validation share of a folder without splits, from 0 to 1 (0.2), as --config.data.val_fraction"
    parser.add_argument("--val-fraction", type=float, metavar="F", help=about)
    about = "`folder` keeps all videos of a folder in one split (default `video`), as --config.data.split_by"
    parser.add_argument("--split-by", choices=choices("data.split_by"), help=about)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="videos read in parallel")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, with every missing file")


def run(arguments: argparse.Namespace) -> int:
    """Check the data and print the findings."""
    if arguments.config:
        return check_mixture_of(arguments)
    if arguments.settings or not arguments.dataset:
        what = f"{arguments.settings[0]} is for" if arguments.settings else "name a folder, a list or a data set, or"
        raise ConfigError(f"{what} --config=EXPERIMENT, whose mixture is then checked")
    if is_store(arguments.dataset):
        return 0 if check_store(arguments.dataset, as_json=arguments.json) else SOMETHING_MISSING
    from vidjax.data.audit import Opening, audit
    from vidjax.data.datasets import DATASETS

    name, root = _which(arguments.dataset, arguments.root)
    data = _division(arguments, name)
    if arguments.charts:
        paths.check_writable(arguments.charts)
    read_all = arguments.read or arguments.charts or arguments.write_checksums
    splits = tuple(filter(None, arguments.splits.split(",")))
    own = name == "folder" and not arguments.root
    opening = Opening(
        check=arguments.read or ("index" if read_all or own else ""),
        at_most=SAMPLED if own and not read_all else 0,
        threads=max(1, arguments.threads),
        adding_checksums=arguments.write_checksums,
    )
    with progress(f"checking {root}") as advance:
        audits = audit(name, root, splits, dataclasses.replace(opening, on_video=advance), data)
    written = _write_checksums(audits, root, data, opening.threads) if arguments.write_checksums else {}
    complete = not any(about.problems for about in audits)
    if arguments.json:
        listed = [about.as_json() for about in audits]
        print_json({"dataset": name, "root": root, "complete": complete, "splits": listed, **written})
    else:
        print_audits(audits)
        if written:
            say(f"wrote {written['checksums_added']} checksums to {written['checksums']}")
    if arguments.charts:
        from vidjax.viz.dataset_charts import draw_dataset

        for path in draw_dataset(DATASETS.find(name).title, audits, arguments.charts):
            say(f"wrote {path}")
    return 0 if complete else SOMETHING_MISSING


def _division(arguments: argparse.Namespace, name: str) -> DataConfig:
    """Return the data settings that split a user's own videos."""
    asked = {"data.val_fraction": arguments.val_fraction, "data.split_by": arguments.split_by}
    changes = {key: value for key, value in asked.items() if value is not None}
    if changes and name != "folder":
        raise ConfigError(f"--val-fraction and --split-by are for your own folder or list; {name} has its own splits")
    return with_keys(Config(), changes | {"data.checksums": arguments.checksums}).data


def _write_checksums(audits: Sequence[SplitAudit], root: str, data: DataConfig, threads: int) -> dict[str, Any]:
    """Add the readable files to the list of checksums; return its path and how many were added."""
    from vidjax.data.sources.checksums import add_checksums, checksums_path

    files = [file for about in audits for file in about.read]
    if not files:
        raise DataError(f"{root} has no video files that can be read; prepared records have their own hashes")
    path, folder = checksums_path(os.path.abspath(os.path.expanduser(root)), data)
    with progress(f"hashing {len(files)} files", len(files), unit="files") as advance:
        added = add_checksums(path, folder, files, threads=threads, on_file=advance)
    return {"checksums": path, "checksums_added": added}


def _which(word: str, root: str) -> tuple[str, str]:
    """Return the name and root of the data set; a folder or a list of videos needs no name."""
    from vidjax.data.sources.video_tree import is_video_name

    named = word in NAMES or is_outside(word)
    if os.path.exists(word) and not named:
        if root:
            raise ConfigError(f"--root is for a named data set, and {word} is a path; leave --root out")
        if os.path.isfile(word) and is_video_name(word):
            raise ConfigError(f"{word} is a single video; give its folder, or a list of videos")
        return "folder", word
    if named and not root:
        raise ConfigError(f"--root=DIR, the folder of {word}, is missing")
    if not root:
        near = nearest_path(word) or next(iter(difflib.get_close_matches(word, NAMES, 1)), "")
        hint = f"did you mean {near!r}?" if near else f"the names: {', '.join(NAMES)}"
        raise ConfigError(f"{word} is neither a folder, a list of videos nor the name of a data set; {hint}")
    return word, root


VERB = Verb(
    __doc__, add_arguments, run, "vidjax check kinetics400 --root=/data/k400 --charts=charts", takes_config=True
)
