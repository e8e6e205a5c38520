"""`vidjax quickstart`: pre-train, fine-tune and evaluate on built-in videos in minutes, and write a report.

It follows the VideoMAE paper. Two classifiers train on the same labelled clips for the same number of steps: one starts
from the encoder pre-trained without labels, the other from random weights, each with the recipe that suits its start
best. They are scored on held-out test videos. Chance is 1 in 8. The output ends with three commands to try next.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import shutil
import sys
import time
from typing import Any

from vidjax.cli import paths
from vidjax.cli.terminal import print_json
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError
from vidjax.files import Place

# The recipe for random weights; both starts use the best of four recipes on val (scripts/motion_starts.py).
SCRATCH = ("--config.optim.base_lr=1e-3", "--config.model.spec.init_std=0.1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("--workdir", default="runs/quickstart", metavar="DIR", help="folder for runs and report (runs/quickstart)")
    add("--seeds", type=int, default=1, metavar="N", help="repeat with N seeds (1)")
    add("--smoke", action="store_true", help="30 steps per run, to test every part without learning")
    add("--json", action="store_true", help="print the table as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Train, score, and print the table and the path of the report."""
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds={arguments.seeds} must be at least 1")
    paths.check_writable(arguments.workdir)
    from vidjax.tasks import TASKS
    from vidjax.viz import report
    from vidjax.viz.document import PAGE

    start, workdir, rows = time.time(), pathlib.Path(arguments.workdir), []
    for seed in range(arguments.seeds):
        for name, results in _run_seed(seed, workdir / f"seed{seed}", arguments.smoke).items():
            rows.append({"seed": seed, "start": name, "top1": results["eval/top1"], "top5": results["eval/top5"]})
    rows.append({"seed": None, "start": "chance", "top1": 1 / 8, "top5": 5 / 8})
    seconds = time.time() - start
    path = report.write_comparison(workdir, rows, TASKS["classification"].curves, seconds)
    path = path.with_name(PAGE)
    if arguments.json:
        print_json({"rows": rows, "seconds": round(seconds, 1), "report": str(path)})
    else:
        _print_table(rows, seconds, path)
        _print_next(workdir / "seed0" / "finetune")
    return 0


def _run_seed(seed: int, folder: pathlib.Path, smoke: bool) -> dict[str, dict[str, Any]]:
    """Pre-train, then train a classifier from that run and one from scratch; return the results of both."""
    from vidjax.main import read_config
    from vidjax.training import loop

    def train(experiment: str, name: str, *settings: str) -> dict[str, Any]:
        words = (f"--config={experiment}{':smoke' * smoke}", f"--config.seed={seed}", *settings)
        return loop.train(read_config(list(words)), folder / name)

    train("motion_pretrain", "pretrain")
    scored = "--config.data.eval_split=test"  # held out: no choice was based on it
    return {
        "pre-trained": train("motion_finetune", "finetune", scored, f"--config.init_from={folder / 'pretrain'}"),
        "from scratch": train("motion_finetune", "scratch", scored, *SCRATCH),
    }


def _print_table(rows: list[dict[str, Any]], seconds: float, path: Place) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Motion, 8 classes ({seconds / 60:.1f} minutes)")
    for column in ("seed", "start", "top-1", "top-5"):
        table.add_column(column)
    for row in rows:
        seed = "" if row["seed"] is None else str(row["seed"])
        table.add_row(seed, row["start"], f"{row['top1']:.1%}", f"{row['top5']:.1%}")
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"Report with pictures: {path}", highlight=False)


def _print_next(classifier: pathlib.Path) -> None:
    """Print three commands to try next, in the form that works in this environment."""
    here = os.path.dirname(sys.executable)  # folders are compared, since an interpreter may have several names
    python = "python" if os.path.dirname(shutil.which("python") or "") == here else os.path.relpath(sys.executable)
    vidjax = "vidjax" if os.path.dirname(shutil.which("vidjax") or "") == here else f"{python} -m vidjax.cli"
    has_page = importlib.util.find_spec("gradio")
    install = "" if has_page else f" (the page needs gradio: {python} -m pip install 'vidjax[demo]')"
    print(
        f"\nNext{install}:\n"
        f"  a page for this classifier  {vidjax} demo --model {classifier}\n"
        f"  your own videos             {python} -m vidjax.main --config=finetune --config.data.root=DIR "
        "--workdir=runs/mine\n"
        f"  a public model              {vidjax} predict VIDEO --model MCG-NJU/videomae-base-finetuned-kinetics"
    )


VERB = Verb(__doc__, add_arguments, run, "vidjax quickstart --workdir=runs/quickstart")
