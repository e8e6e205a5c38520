"""Measure what self-distillation learns from the built-in videos without labels, by nearest neighbours.

    python scripts/svt_motion.py --workdir runs/svt_motion [--seeds 2] [--run RUN] [--json]

The script trains `configs/motion_svt.py`, or uses an existing run of it. Then each validation video gets the digit and
the motion of the most similar training videos, once by the teacher's features and once by those of the same network
with random weights. The views of a video share its digit and little else, so training should learn the digit.
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

from vidjax import config as config_lib
from vidjax.data import motion_videos, open_source
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import ConfigError, UserError
from vidjax.evaluation.features.writer import embed_videos
from vidjax.evaluation.probes.knn import knn_accuracy
from vidjax.main import read_config
from vidjax.models import build_model, family_of
from vidjax.training import loop
from vidjax.weights.model import Pretrained
from vidjax.weights.read_run import read_params

EXPERIMENT = pathlib.Path(__file__).resolve().parents[1] / "configs" / "motion_svt.py"
CHANCE = {"features": "chance", "digit": 1 / 10, "motion": 1 / len(motion_videos.CLASSES)}


def experiment(seed: int, steps: int) -> config_lib.Config:
    """Return the configuration of `configs/motion_svt.py` with this seed; `steps` replaces its own unless 0."""
    config = read_config([f"--config={EXPERIMENT}"])
    train = dataclasses.replace(config.train, steps=steps or config.train.steps)
    return dataclasses.replace(config, seed=seed, train=train)


def compare(run: pathlib.Path) -> list[dict]:
    """Return the rows of the table for a run of self-distillation on the motion data."""
    config = config_lib.from_saved(json.loads((run / "config.json").read_text()))
    if config.task != "self_distillation" or config.data.name != "motion_digits":
        raise ConfigError(f"--run={run} is a run of {config.task} on {config.data.name}; give one of {EXPERIMENT.name}")
    step, teacher = read_params(run, ema=True)
    model = {"num_frames": config.data.num_frames, "image_size": config.data.image_size, "unroll": config.model.unroll}
    module = build_model(config.model.name, num_classes=0, **config.model.spec, **model)
    clip = np.zeros((1, *module.spec.clip_shape), np.float32)
    random = jax.jit(module.init)(jax.random.key(config.seed), clip)["params"]
    family, recipe = family_of(config.model.name)[0], ClipRecipe.of(config.data, config.eval)
    backbones = {
        "random weights": Pretrained(module, random, module.spec, family, recipe),
        "SVT": Pretrained(module, {"encoder": teacher["encoder"]}, module.spec, family, recipe),
    }
    about = {"seed": config.seed, "step": step}
    return [about | {"features": name} | score(backbone, config) for name, backbone in backbones.items()]


def score(backbone: Pretrained, config: config_lib.Config) -> dict[str, float]:
    """Return the shares of validation videos whose nearest training videos have the same digit and the same motion."""
    digits = digit_of_video(config.data.root)
    features, labels = {}, {}
    for split in (config.data.train_split, config.data.eval_split):
        source = open_source(config.data, split)
        found = embed_videos(backbone, source, config.data, batch=config.eval.batch)
        rows = [source[number] for number in range(len(source))]
        features[split] = found.scores
        labels[split] = {"digit": np.array([digits[row.video] for row in rows]), "motion": found.labels}
    train, val = config.data.train_split, config.data.eval_split
    return {
        name: knn_accuracy(features[train], labels[train][name], features[val], labels[val][name])
        for name in ("digit", "motion")
    }


def digit_of_video(root: str) -> dict[str, int]:
    """Return the digit that each video shows, by path."""
    folder = pathlib.Path(motion_videos.prepare(root, motion_videos.DIGITS)).absolute()
    return {str(folder / row["video"]): row["digit"] for row in motion_videos.annotations(str(folder))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/svt_motion"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="steps of each run; 0: the experiment's")
    parser.add_argument("--run", type=pathlib.Path, help="use this run instead of training one")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args()

    start, rows = time.time(), []
    with contextlib.redirect_stdout(sys.stderr):  # runs print too; standard output is for the table
        runs = [args.run] if args.run else [args.workdir / f"seed{seed}" for seed in range(args.seeds)]
        for seed, run in enumerate(runs):
            if not args.run:
                loop.train(experiment(seed, args.steps), run)
            rows += compare(run)
    rows.append(CHANCE)
    if args.json:
        print(json.dumps(rows))
        return 0
    table = Table(title=f"Validation videos that share the label of their nearest neighbours ({_minutes(start)})")
    for name in ("features", "seed", "step"):
        table.add_column(name)
    for name in ("digit", "motion"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = (str(row.get(name, "")) for name in ("features", "seed", "step"))
        table.add_row(*cells, f"{row['digit']:.1%}", f"{row['motion']:.1%}")
    Console().print(table)
    return 0


def _minutes(start: float) -> str:
    return f"{(time.time() - start) / 60:.1f} minutes"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
