"""Write a data set as ArrayRecord files, which read faster from network storage than a folder of videos.

    python scripts/prepare_records.py --root=VIDEOS --out=RECORDS [--name=kinetics400] [--splits=train,val]

VIDEOS holds class folders, CSV lists, or the official layout of kinetics400, ssv2 or ucf101. The folder printed at the
end is the new `data.root`. Videos that cannot be read are listed there in failures.jsonl; then the exit code is 3.
"""

from __future__ import annotations

import argparse
import os
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vidjax.config import DataConfig
from vidjax.errors import UserError


def main() -> int:
    """Prepare the data set; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder of the videos")
    parser.add_argument("--out", required=True, help="folder to write the data set into")
    parser.add_argument("--name", default="folder", choices=["folder", "kinetics400", "ssv2", "ucf101"])
    parser.add_argument("--splits", default="train,val", help="comma-separated")
    parser.add_argument("--check", default="index", choices=["index", "decode"], help="decode: every frame, slow")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="videos checked at a time")
    args = parser.parse_args()
    try:
        return prepare(args)
    except UserError as error:
        print(f"prepare_records: {error}", file=sys.stderr)
        return 2


def prepare(args: argparse.Namespace) -> int:
    """Open the splits, write them under a progress bar, and say what was written."""
    from vidjax.data.builders import prepare_records
    from vidjax.data.sources import open_source

    data = DataConfig(name=args.name, root=args.root)
    sources = {split: open_source(data, split) for split in args.splits.split(",")}
    console = Console()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        writing = progress.add_task("sorting and writing", total=None)
        bars = {split: progress.add_task(split, total=len(source)) for split, source in sources.items()}
        folder, failures = prepare_records(
            args.name,
            sources,
            args.out,
            check=args.check,
            threads=args.threads,
            on_video=lambda split: progress.advance(bars[split]),
        )
        progress.remove_task(writing)
    listed = sum(map(len, sources.values()))
    console.print(f"stored {listed - len(failures)} of {listed} videos", highlight=False)
    print(f"data.root={folder}")
    return 3 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
