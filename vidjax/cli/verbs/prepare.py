"""`vidjax prepare`: write a data set as records that load fast: small frames, many key frames, few files.

It runs on Apache Beam (extra `beam`), on this machine or on a cluster with --runner; without Beam, in threads.
Unreadable videos are listed with the reason, and the exit code is then 3. Run the same command again to resume.
"""

from __future__ import annotations

import argparse
import os

from vidjax.cli import beam_options
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.cli.verbs.check import DATASET_HELP
from vidjax.errors import ConfigError
from vidjax.progress import progress

SOME_FAILED = 3
SHOWN = 5  # failures listed individually


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    about = "`folder` takes class folders or lists of `path label`; the others also take their official layout"
    parser.add_argument("dataset", metavar="DATASET", help=f"{DATASET_HELP}; {about}")
    parser.add_argument("--root", required=True, metavar="DIR", help="the folder of the videos")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder for the records")
    parser.add_argument(
        "--splits",
        default="",
        help="comma-separated; default train,val (afew_va: fold1 to fold5; for lvu, name those of one task)",
    )
    parser.add_argument(
        "--short-side", type=int, default=256, help="pixels, usually 256 to 320; never enlarged; default 256"
    )
    parser.add_argument("--key-every", type=int, default=12, help="frames between key frames; default 12")
    parser.add_argument("--crf", type=int, default=20, help="x264 quality; lower is better and larger; default 20")
    parser.add_argument("--keep-bytes", action="store_true", help="store the original files, and pictures losslessly")
    about = "with --keep-bytes: `index` reads packets and the first frame (ms per video), `decode` all frames"
    parser.add_argument("--check", default="index", choices=("index", "decode"), help=about)
    about = f"local (Beam on this machine), threads (without Beam), or {beam_options.RUNNERS}"
    parser.add_argument("--runner", default="", help=f"{about}; default local if Beam is installed, else threads")
    beam_options.add(parser)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="files written in parallel on this machine")
    parser.add_argument("--videos-per-shard", type=int, default=256, help="videos per record file; default 256")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prepare with a progress bar and print a summary; return 3 if a video could not be stored."""
    for name in ("threads", "videos_per_shard"):
        if (value := getattr(arguments, name)) < 1:
            raise ConfigError(f"--{name.replace('_', '-')}={value} must be at least 1")
    from vidjax.config import DataConfig
    from vidjax.data.datasets import DATASETS
    from vidjax.data.prepare.builder import prepare_records
    from vidjax.data.prepare.codec import Storing
    from vidjax.data.prepare.encode import Encoding
    from vidjax.data.prepare.splits import Splits
    from vidjax.data.runners import THREADS, Runner, default_runner

    spec = DATASETS.find(arguments.dataset)
    if not spec.needs_root:
        raise ConfigError(f"vidjax generates the videos of {arguments.dataset}; there is nothing to prepare")
    encoding = Encoding(arguments.short_side, arguments.key_every, arguments.crf)
    storing = Storing(arguments.check, None if arguments.keep_bytes else encoding, arguments.videos_per_shard)
    runner = Runner(arguments.runner or default_runner(), beam_options.flags(arguments), arguments.threads)
    if runner.name == THREADS and not arguments.runner:
        say("Apache Beam is not installed (pip install 'vidjax[beam]'): videos are prepared in threads of this process")
    root = arguments.root if runner.here else beam_options.same_everywhere(arguments.root)
    splits = tuple(filter(None, arguments.splits.split(","))) or spec.splits
    sources = Splits(DataConfig(name=arguments.dataset, root=root), splits)
    listed = sum(map(len, sources.values()))
    with progress(f"preparing {listed} videos", total=listed) as advance:
        folder, failures = prepare_records(
            arguments.dataset, sources, arguments.out, storing=storing, runner=runner, on_video=lambda split: advance()
        )
    stored = listed - len(failures)
    if arguments.json:
        print_json({"root": str(folder), "listed": listed, "stored": stored, "failures": failures})
    else:
        for failure in failures[:SHOWN]:
            say(f"{failure['split']}: {failure['id']} is not stored: {failure['reason']}: {failure['detail']}")
        if len(failures) > SHOWN:
            say(f"... and {len(failures) - SHOWN} more, in {folder / 'failures.jsonl'}")
        say(f"stored {stored} of {listed} videos")
        print(f"data.root={folder}")
    return SOME_FAILED if failures else 0


VERB = Verb(__doc__, add_arguments, run, "vidjax prepare folder --root=/data/videos --out=/data/records")
