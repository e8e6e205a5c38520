"""The road of the VideoMAE paper on the embedded videos: pre-train, fine-tune, evaluate; then a table and a report.

    python scripts/quickstart.py --workdir runs/quickstart [--seeds 3] [--json]

Two classifiers see the same labelled clips for the same number of steps: one starts from the encoder that was
pre-trained without labels, the other from random weights. Chance is 1 in 8.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
import time

from rich.console import Console
from rich.table import Table

from vidjax.config import Config
from vidjax.errors import UserError
from vidjax.main import read_config

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"


def load(name: str, **changes) -> Config:
    """The experiment `configs/NAME.py` with top-level values changed."""
    return dataclasses.replace(read_config([f"--config={CONFIGS / name}.py"]), **changes)


def run_seed(seed: int, workdir: pathlib.Path) -> dict[str, dict]:
    """Pre-train, fine-tune from it, fine-tune from scratch; the results of the two classifiers."""
    from vidjax.training import loop

    pretrain, tuned, scratch = (workdir / f"seed{seed}" / name for name in ("pretrain", "finetune", "scratch"))
    loop.train(load("motion_pretrain", seed=seed), str(pretrain))
    return {
        "pre-trained": loop.train(load("motion_finetune", seed=seed, init_from=str(pretrain)), str(tuned)),
        "from scratch": loop.train(load("motion_finetune", seed=seed), str(scratch)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/quickstart"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args()

    start = time.time()
    rows = []
    for seed in range(args.seeds):
        for name, results in run_seed(seed, args.workdir).items():
            rows.append({"seed": seed, "start": name, "top1": results["eval/top1"], "top5": results["eval/top5"]})
    rows.append({"seed": None, "start": "chance", "top1": 1 / 8, "top5": 5 / 8})
    seconds = time.time() - start

    from vidjax.tasks import TASKS
    from vidjax.viz import report

    path = report.write_comparison(args.workdir, rows, TASKS["classification"].curves, seconds)
    if args.json:
        print(json.dumps({"rows": rows, "seconds": round(seconds, 1), "report": str(path)}))
        return 0
    table = Table(title=f"Motion, 8 classes ({seconds / 60:.1f} minutes)")
    for column in ("seed", "start", "top-1", "top-5"):
        table.add_column(column)
    for row in rows:
        seed = "" if row["seed"] is None else str(row["seed"])
        table.add_row(seed, row["start"], f"{row['top1']:.1%}", f"{row['top5']:.1%}")
    console = Console()
    console.print(table)
    console.print(f"Report with pictures: {path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
