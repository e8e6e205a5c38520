"""Measure what a student of a frozen random CLIP learns from the built-in digits: its loss, and a linear probe.

    python scripts/align_digits.py --workdir runs/align_digits [--seeds 3] [--steps N] [--json]

The script trains `configs/motion_align.py` with each seed. Then a logistic regression predicts the digit of a
validation video from the features of its central clip, once with the trained student and once with the same student
before training. Both see all tokens. There are 4096 training and 1024 validation videos; no label is used before the
probe.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys
import time

import jax
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidjax import config as config_lib
from vidjax.data import motion_videos, open_source
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import UserError
from vidjax.evaluation.features.writer import embed_videos
from vidjax.main import read_config
from vidjax.tasks import TASKS, build_objective
from vidjax.training import loop
from vidjax.weights.model import Pretrained
from vidjax.weights.read_run import read_params

EXPERIMENT = pathlib.Path(__file__).resolve().parents[1] / "configs" / "motion_align.py"


def experiment(seed: int, steps: int) -> config_lib.Config:
    """Return the configuration of `configs/motion_align.py` with this seed; `steps` replaces its own unless 0."""
    config = read_config([f"--config={EXPERIMENT}"])
    train = dataclasses.replace(config.train, steps=steps or config.train.steps)
    return dataclasses.replace(config, seed=seed, train=train)


def compare(config: config_lib.Config, run: pathlib.Path) -> dict:
    """Return the row of the table for a run."""
    objective, task = build_objective(config, 1), TASKS[config.task]
    began = jax.jit(lambda: objective.init(jax.random.key(config.seed), {})[0])()
    recipe = ClipRecipe.of(config.data, config.eval)
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["train/loss"] for line in losses if "train/loss" in line]
    row = {"seed": config.seed, "steps": config.train.steps, "first_loss": losses[0], "last_loss": losses[-1]}
    for name, params in (("random", began), ("student", read_params(run)[1])):
        module, params = task.for_inference(config, objective.module, params)
        row[name] = linear_probe(Pretrained(module, params, module.spec, "videomamba", recipe), config)
    return row


def linear_probe(backbone: Pretrained, config: config_lib.Config) -> float:
    """Return the share of validation videos whose digit the probe predicts correctly."""
    digits, found = digit_of_video(config.data.root), {}
    for split in (config.data.train_split, config.data.eval_split):
        source = open_source(config.data, split)
        features = embed_videos(backbone, source, config.data, batch=config.eval.batch).scores
        found[split] = features, np.array([digits[source[number].video] for number in range(len(source))])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    probe.fit(*found[config.data.train_split])
    return float(probe.score(*found[config.data.eval_split]))


def digit_of_video(root: str) -> dict[str, int]:
    """Return the digit that each video shows, by path."""
    folder = pathlib.Path(motion_videos.prepare(root, motion_videos.DIGITS)).absolute()
    return {str(folder / row["video"]): row["digit"] for row in motion_videos.annotations(str(folder))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/align_digits"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="steps of each run; 0: the experiment's")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args()

    start, rows = time.time(), []
    with contextlib.redirect_stdout(sys.stderr):  # runs print too; standard output is for the table
        for seed in range(args.seeds):
            config, run = experiment(seed, args.steps), args.workdir / f"seed{seed}"
            loop.train(config, run)
            rows.append(compare(config, run))
    if args.json:
        print(json.dumps(rows))
        return 0
    minutes = (time.time() - start) / 60
    table = Table(title=f"Digits by a linear probe, after aligning with a random CLIP ({minutes:.1f} minutes)")
    for name in ("seed", "steps", "loss, first", "loss, last", "random weights", "student"):
        table.add_column(name, justify="right")
    for row in rows:
        losses = (f"{row[name]:.3f}" for name in ("first_loss", "last_loss"))
        shares = (f"{row[name]:.1%}" for name in ("random", "student"))
        table.add_row(str(row["seed"]), str(row["steps"]), *losses, *shares)
    Console().print(table)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
