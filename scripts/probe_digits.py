"""Compare what self-supervised backbones learn: probe their frozen features for the digit of the built-in videos.

    python scripts/probe_digits.py --workdir=runs/digits --backbones RUN [RUN ...] random:videomae_tiny
    python -m vidjax.main --config=configs/motion_svt.py --workdir=runs/svt        # a run of SVT to probe
    python -m vidjax.main --config=configs/motion_pretrain.py --config.data.name=motion_digits ...   # of VideoMAE

The probes train on 4096 labelled videos and are scored on 1024. Digits shake on black; every backbone sees the same two
frames of 32 pixels, ten frames apart. The table has accuracy and macro F1 of nearest neighbours and of a linear probe.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from vidjax.data import motion_videos
from vidjax.errors import UserError
from vidjax.main import read_config
from vidjax.training.probing import probe

CONFIG = pathlib.Path(__file__).resolve().parents[1] / "configs" / "probe_motion.py"


def write_lists(folder: pathlib.Path) -> None:
    """Write `train.csv` and `val.csv` with paths and digits."""
    videos = pathlib.Path(motion_videos.prepare("", motion_videos.DIGITS)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    rows = motion_videos.annotations(str(videos))
    for split in ("train", "val"):
        lines = [f"{videos / row['video']} {row['digit']}\n" for row in rows if row["split"] == split]
        (folder / f"{split}.csv").write_text("".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/digits"))
    parser.add_argument("--backbones", nargs="+", required=True, metavar="SOURCE", help="runs, files, random:PRESET")
    args, settings = parser.parse_known_args()
    write_lists(args.workdir / "lists")
    words = {
        "data.name": "folder", "data.root": args.workdir / "lists", "data.num_frames": 2, "data.stride": 10,
        "data.image_size": 32, "probe.backbones": tuple(args.backbones), "probe.reductions": ("pooled",),
        "probe.probes": ("linear", "knn"),
    }  # fmt: skip
    config = read_config(
        [f"--config={CONFIG}:class", *(f"--config.{name}={value}" for name, value in words.items()), *settings]
    )
    probe(config, args.workdir)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
