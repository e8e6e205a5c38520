"""Run the controls of the motion data set: does a classifier that scores well really see motion?

    python scripts/motion_controls.py --finetuned runs/quickstart/seed0/finetune [--json]

A single frame must not give the class away: classifiers that see only the frame at one index, and the video model on
one repeated frame, should stay near chance (1 in 8). Clips played backwards should be classified as the opposite class.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys
import tempfile
import warnings

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vidjax import config as config_lib
from vidjax.data import motion_videos, read_frames
from vidjax.errors import UserError

SPEC = motion_videos.MotionSpec()
STILL_STEPS = 300
SINGLE = (0, SPEC.frames // 3, 2 * SPEC.frames // 3, SPEC.frames - 1)


def classify_single_frames(rows: list[dict], frames: np.ndarray) -> dict[str, float]:
    """Return the accuracies of MLPs that each see the frame at one index, and of one that names the digit's colour.

    They train on the train split, and are scored on val and test together.

    Args:
      rows: annotations, one per video.
      frames: (video, index in SINGLE, h, w, c) uint8.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    train = np.array([row["split"] == "train" for row in rows])
    labels = np.array([row["class"] for row in rows])
    colours = np.array([row["caption"].split()[1] for row in rows])

    def accuracy(pixels: np.ndarray, target: np.ndarray) -> float:
        model = MLPClassifier(128, alpha=1e-3, batch_size=64, max_iter=12, random_state=0)
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            model.fit(pixels[train], target[train])
        return float(model.score(pixels[~train], target[~train]))

    pixels = [
        np.stack([cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA) for frame in column]).reshape(len(rows), -1)
        for column in np.moveaxis(frames, 1, 0)
    ]
    pixels = [(column.astype(np.float32) - 80) / 60 for column in pixels]
    scores = {f"frame {index} alone": accuracy(column, labels) for index, column in zip(SINGLE, pixels, strict=True)}
    return scores | {"(its colour, from frame 0)": accuracy(pixels[0], colours)}


def classify_one_frame_repeated(config, rows: list[dict], frames: np.ndarray, folder: pathlib.Path) -> float:
    """Return the accuracy of the video model trained and scored on videos of one frame, which the loader repeats.

    The run follows the fine-tuning of `config` for at most `STILL_STEPS` steps.
    """
    from vidjax.training import loop

    spec = dataclasses.replace(SPEC, crf=0)
    for row, clip in zip(rows, frames[:, 1:2], strict=True):
        path = folder / "still" / row["video"]
        path.parent.mkdir(parents=True, exist_ok=True)
        motion_videos.encode(path, clip, spec)
    steps = dataclasses.replace(config.train, steps=min(config.train.steps, STILL_STEPS))
    config = dataclasses.replace(_on_folder(config, folder / "still"), train=steps)
    return loop.train(config, str(folder / "run"))["eval/top1"]


def classify_reversed(
    config, finetuned: pathlib.Path, root: pathlib.Path, rows: list[dict], folder: pathlib.Path
) -> float:
    """Return the share of validation clips that, played backwards, are classified as the opposite class."""
    from vidjax.training import evaluate

    for row in rows:
        if row["split"] == "val":
            path = folder / "reversed" / "val" / motion_videos.OPPOSITE[row["class"]] / pathlib.Path(row["video"]).name
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = read_frames(str(root / row["video"]), np.arange(row["frames"]))
            motion_videos.encode(path, frames[::-1], SPEC)
    (folder / "reversed" / "train").symlink_to((root / "train").resolve())  # its folders name the classes
    config = dataclasses.replace(_on_folder(config, folder / "reversed"), mode="evaluate", init_from=str(finetuned))
    return evaluate(config, folder / "reversed_run")["eval/top1"]


def run(finetuned: pathlib.Path) -> dict[str, float]:
    """Run all controls of a fine-tuned run; return fractions by name."""
    config = config_lib.from_saved(json.loads((finetuned / "config.json").read_text()))
    root = pathlib.Path(motion_videos.prepare(config.data.root))
    rows = [row for row in motion_videos.annotations(str(root)) if row["split"] != "long"]
    frames = np.stack(
        [read_frames(str(root / row["video"]), SINGLE) for row in track(rows, "reading frames", transient=True)]
    )
    scores = {"forward clips, called their class": json.loads((finetuned / "results.json").read_text())["eval/top1"]}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        scores["reversed clips, called the opposite"] = classify_reversed(config, finetuned, root, rows, folder)
        scores |= classify_single_frames(rows, frames)
        scores["one frame repeated, video model"] = classify_one_frame_repeated(config, rows, frames, folder)
    return scores


def _on_folder(config, root: pathlib.Path):
    data = dataclasses.replace(config.data, name="folder", root=str(root), eval_split="val")
    return dataclasses.replace(config, data=data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetuned", type=pathlib.Path, required=True, help="a run of configs/motion_finetune.py")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # runs print too; standard output is for the table
        scores = run(args.finetuned)
    if args.json:
        print(json.dumps({name: round(score, 4) for name, score in scores.items()}))
        return 0
    table = Table(title="Controls of the motion data set (chance 12.5 %)")
    table.add_column("what is classified")
    table.add_column("top-1", justify="right")
    for name, score in scores.items():
        table.add_row(name, f"{score:.1%}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
