"""Measure what pre-training is worth on the built-in videos: fine-tune from pre-trained and from random weights.

    python scripts/motion_starts.py --workdir runs/starts [--seeds 3] [--json]

The starts are random weights and three encoders pre-trained without labels, which differ in what was hidden: half of
the frames, or tubes over 75 or 90 %. For each start, the script tries four recipes with the first seed. It then runs
the recipe with the best top-1 on val with every seed, and scores it on test, which plays no part in any choice.
Finished runs are not repeated.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from vidjax.errors import ConfigError, UserError
from vidjax.main import read_config

MASKS = {"frames": ("frame", 0.5), "tubes 75 %": ("tube", 0.75), "tubes 90 %": ("tube", 0.9)}
SCRATCH = "random weights"
TRIES = {
    "pre-trained": (
        {"optim.base_lr": 1e-3}, {"optim.base_lr": 2e-3}, {"optim.base_lr": 4e-3},
        {"optim.base_lr": 4e-3, "optim.layer_decay": 0.75},
    ),
    SCRATCH: (
        {"optim.base_lr": 2e-3, "model.spec.init_std": 0.02}, {"optim.base_lr": 1e-3, "model.spec.init_std": 0.1},
        {"optim.base_lr": 2e-3, "model.spec.init_std": 0.1}, {"optim.base_lr": 4e-3, "model.spec.init_std": 0.1},
    ),
}  # fmt: skip


class Bench:
    """Runs of the quickstart's pre-training and fine-tuning, each in its own folder."""

    def __init__(self, workdir: pathlib.Path, smoke: bool):
        self._workdir, self._smoke = workdir, ":smoke" * smoke

    def top1(self, start: str, seed: int, settings: Mapping[str, float], split: str) -> float:
        """Return the top-1 on a split of a classifier fine-tuned from a start."""
        name = " ".join([start, *(f"{key.rsplit('.', 1)[1]}={value}" for key, value in settings.items()), split])
        words = [f"--config.{key}={value}" for key, value in settings.items()]
        if start != SCRATCH:
            words.append(f"--config.init_from={self._pretrained(start, seed)}")
        run = self._run("motion_finetune", name, seed, [*words, f"--config.data.eval_split={split}"])
        return json.loads((run / "results.json").read_text())["eval/top1"]

    def _pretrained(self, start: str, seed: int) -> pathlib.Path:
        mask, ratio = MASKS[start]
        return self._run(
            "motion_pretrain", start, seed, [f"--config.model.mask={mask}", f"--config.model.mask_ratio={ratio}"]
        )

    def _run(self, experiment: str, name: str, seed: int, words: list[str]) -> pathlib.Path:
        from vidjax.training import loop

        folder = self._workdir / f"seed{seed}" / f"{experiment} {name}".replace(" ", "_").replace("%", "")
        loop.train(read_config([f"--config={experiment}{self._smoke}", f"--config.seed={seed}", *words]), str(folder))
        return folder


def compare(bench: Bench, seeds: int) -> list[dict]:
    """Return, for every start, the best recipe on val, the top-1 of all recipes on val, and top-1 on test by seed."""
    rows = []
    for start in (*MASKS, SCRATCH):
        tries = TRIES.get(start, TRIES["pre-trained"])
        on_val = [bench.top1(start, 0, settings, "val") for settings in tries]
        chosen = tries[on_val.index(max(on_val))]
        on_test = [bench.top1(start, seed, chosen, "test") for seed in range(seeds)]
        rows.append({"start": start, "chosen": chosen, "val": on_val, "test": on_test})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/starts"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="30 steps of each run: nothing is learned")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args()
    if args.seeds < 1:
        raise ConfigError(f"--seeds={args.seeds} must be at least 1")
    rows = compare(Bench(args.workdir, args.smoke), args.seeds)
    if args.json:
        print(json.dumps(rows))
        return 0
    shown = Table(title="Motion, top-1 on 512 test videos; chance 12.5 %")
    for column in ("start", "chosen on val", "tries on val", *(f"seed {seed}" for seed in range(args.seeds)), "mean"):
        shown.add_column(column)
    for row in rows:
        chosen = ", ".join(f"{key.rsplit('.', 1)[1]} {value:g}" for key, value in row["chosen"].items())
        tries = " ".join(f"{value:.1%}" for value in row["val"])
        scores = [f"{value:.1%}" for value in (*row["test"], statistics.mean(row["test"]))]
        shown.add_row(row["start"], chosen, tries, *scores)
    Console().print(shown)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
