"""Compare what pre-training without labels learns from the built-in videos: linear probes of motion and digit.

    python scripts/pretraining_motion.py --workdir runs/pretraining [--data motion_digits] [--seeds 3] [--tera 6]
        [--methods "V-JEPA 2,SVT"] [--runs RUN ...] [--json]

V-JEPA 2 (`configs/motion_vjepa.py`), VideoMAE and SVT train on the same videos for the same number of floating-point
operations. Linear probes then predict motion and digit from frozen features, and from those of the same networks with
random weights. Per seed, the features (tokens averaged over a clip, or over each of its time slices) and the probe's
penalty are chosen on val; the choice is scored once on test. The rank is the effective rank of the averaged tokens of
the test videos: the exponential of the entropy of their covariance's eigenvalues. It is 1 for collapsed features.

The videos of `motion` show travelling digits over textures: what can be learned is the motion. In those of
`motion_digits`, digits shake on black: what can be learned is the digit.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import re
import statistics
import sys
from collections.abc import Iterable, Mapping

import jax
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidjax.config import Config
from vidjax.data import motion_videos, open_source
from vidjax.errors import UserError
from vidjax.evaluation.features.extraction import Extraction, Extractor
from vidjax.main import read_config
from vidjax.tasks import TASKS, build_objective
from vidjax.training import loop
from vidjax.weights.backbones import load_backbone
from vidjax.weights.model import Pretrained
from vidjax.weights.read_run import read_objective

# SVT's recipe for shaking digits, applied to moving ones: the clips of the other methods, and local views half as long.
_SVT = {
    "data.name": "motion", "data.num_frames": 8, "data.stride": 2, "data.image_size": 24, "data.global_views": (8, 8),
    "data.local_views": (4, 4), "data.local_size": 16, "data.local_span": 0.5, "data.mean": (0.25, 0.25, 0.25),
    "data.std": (0.2, 0.2, 0.2), "data.global_batch": 16, "optim.reference_batch": 16, "distill.center_momentum": 0.9,
}  # fmt: skip
# For digits: tokens hidden at random instead of whole time slices. Chosen on val, with seed 0 (docs/results.md).
_VJEPA_DIGITS = {
    "data.name": "motion_digits", "data.clips_per_decode": 2, "jepa.mask": "random", "jepa.mask_ratio": 0.75,
    "optim.base_lr": 2e-3, "optim.min_lr": 2e-5, "optim.warmup_steps": 50,
}  # fmt: skip
# The recipe of docs/tasks.md for these videos: two frames, as in SVT's recipe.
_VIDEOMAE_DIGITS = {
    "data.name": "motion_digits", "data.num_frames": 2, "data.stride": 10, "data.image_size": 32,
    "data.mean": (0.15, 0.15, 0.15), "data.std": (0.25, 0.25, 0.25), "model.spec.tubelet_size": 1,
    "model.mask": "tube", "model.mask_ratio": 0.75,
}  # fmt: skip
METHODS = {
    "motion": {"V-JEPA 2": ("motion_vjepa", {}), "VideoMAE": ("motion_pretrain", {}), "SVT": ("motion_svt", _SVT)},
    "motion_digits": {
        "V-JEPA 2": ("motion_vjepa", _VJEPA_DIGITS),
        "VideoMAE": ("motion_pretrain", _VIDEOMAE_DIGITS),
        "SVT": ("motion_svt", {}),
    },
}
SPECS = {"motion": motion_videos.MotionSpec(), "motion_digits": motion_videos.DIGITS}
PENALTIES = (0.01, 1.0)  # values of scikit-learn's C
SPLITS = ("train", "val", "test")
LABELS = ("motion", "digit")


def experiment(name: str, changes: Mapping, seed: int, tera: float) -> Config:
    """Return the configuration of an experiment with changes, for a run of `tera` * 10^12 floating-point operations."""
    words = [f"--config.{key}={value}" for key, value in changes.items()]
    config = read_config([f"--config={name}", f"--config.seed={seed}", *words])
    clips = config.data.global_batch * config.data.clips_per_decode
    steps = round(tera * 1e12 / (build_objective(config, 8, total_steps=1).train_flops_per_clip * clips))
    train = dataclasses.replace(config.train, steps=steps, checkpoint_every=steps)
    return dataclasses.replace(config, train=train)


def compare(run: pathlib.Path, seed: int, score_on: str = "test") -> Iterable[dict]:
    """Yield a row for the trained network of a run, and one for the same network with random weights."""
    trained = load_backbone(str(run))
    config, objective = read_objective(run, len(motion_videos.CLASSES))
    drawn = jax.jit(lambda: objective.init(jax.random.key(seed), {})[0])()
    _, random = TASKS.find(config.task).for_inference(config, objective.module, drawn)
    for kind, backbone in (("trained", trained), ("random", dataclasses.replace(trained, params=random))):
        yield {"run": run.name, "seed": seed, "weights": kind} | probe(backbone, config, score_on)


def probe(backbone: Pretrained, config: Config, score_on: str) -> dict[str, float]:
    """Return the accuracy of the probes of motion and digit, each chosen on val, and the rank of the features."""
    digits, features, labels = _digit_of_video(SPECS[config.data.name]), {}, {}
    for split in SPLITS:
        source = open_source(config.data, split)
        extraction = Extraction(("tokens",), "float32", len(source), 64)
        [(_, block)] = Extractor(backbone, source, config.data, extraction).blocks([range(len(source))])
        t, h, w = backbone.spec.grid
        tokens = block.arrays["tokens"][:, -t * h * w :].reshape(len(source), t, h * w, -1)
        slices = tokens.mean(axis=2)
        features[split] = {"clip": slices.mean(axis=1), "slices": slices.reshape(len(source), -1)}
        found = [digits[str(source[row].video)] for row in range(len(source))]
        labels[split] = {"motion": block.labels, "digit": np.array(found)}
    return {"rank": rank(features[score_on]["clip"])} | {
        label: _chosen(features, {split: labels[split][label] for split in SPLITS}, score_on) for label in LABELS
    }


def rank(features: np.ndarray) -> float:
    """Return the exponential of the entropy of the eigenvalues of the covariance of features (n d)."""
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False) ** 2
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _chosen(features: Mapping, labels: Mapping, score_on: str) -> float:
    """Return the accuracy, on the split `score_on`, of the probe that is best on val."""
    scores = []
    for kind in features["train"]:
        for penalty in PENALTIES:
            fitted = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=200))
            fitted.fit(features["train"][kind], labels["train"])
            scores.append([fitted.score(features[split][kind], labels[split]) for split in ("val", score_on)])
    return max(scores, key=lambda pair: pair[0])[1]


def _digit_of_video(spec: motion_videos.MotionSpec) -> dict[str, int]:
    folder = pathlib.Path(motion_videos.prepare("", spec)).absolute()
    return {str(folder / row["video"]): row["digit"] for row in motion_videos.annotations(str(folder))}


def summary(rows: list[dict], score_on: str) -> Table:
    """Return the table: mean and standard deviation over seeds for each method, and for random weights.

    Args:
      rows: from `compare`; runs whose names differ only in the number at their end (`-0`) are seeds of one method.
    """
    table = Table(title=f"Linear probes on frozen features, scored on the videos of {score_on}")
    for name in ("pre-training", "weights", "motion", "digit", "rank"):
        table.add_column(name)
    for run in dict.fromkeys(_method(row) for row in rows):
        for kind in ("trained", "random"):
            own = [row for row in rows if _method(row) == run and row["weights"] == kind]
            cells = [_spread([100 * row[label] for row in own]) + " %" for label in LABELS]
            table.add_row(run, kind, *cells, _spread([row["rank"] for row in own]))
    return table


def _method(row: dict) -> str:
    return re.sub(r"-\d+$", "", row["run"])


def _spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/pretraining"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tera", type=float, default=6.0, help="floating-point operations per run, in units of 10^12")
    parser.add_argument("--data", choices=METHODS, default="motion")
    parser.add_argument("--methods", default="V-JEPA 2,VideoMAE,SVT", help="some of V-JEPA 2,VideoMAE,SVT")
    parser.add_argument("--runs", type=pathlib.Path, nargs="*", help="use these runs, and score them on val")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    methods = args.methods.split(",")
    if unknown := [method for method in methods if method not in METHODS[args.data]]:
        parser.error(f"--methods has {unknown[0]!r}, which is unknown; choose from {', '.join(METHODS[args.data])}")

    rows = []
    with contextlib.redirect_stdout(sys.stderr):  # runs print too; standard output is for the table
        for run in args.runs or ():
            rows += compare(run, 0, "val")
        for seed in range(0 if args.runs else args.seeds):
            for method in methods:
                name, changes = METHODS[args.data][method]
                run = args.workdir / args.data / f"{name}-{seed}"
                loop.train(experiment(name, changes, seed, args.tera), run)
                rows += compare(run, seed)
                print(json.dumps(rows[-2:]), flush=True)
    if args.json:
        print(json.dumps(rows))
        return 0
    Console().print(summary(rows, "val" if args.runs else "test"))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
