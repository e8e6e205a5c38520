"""Train the same classifier with and without mixup: does mixing help on these videos?

    python scripts/compare_mixup.py --config=configs/coin.py --config.data.root=DIR --config.init_from=PRETRAINED
    python scripts/compare_mixup.py --config=configs/coin.py:smoke --config.train.steps=600      # the built-in videos

The two runs differ only in data.mixup. The script writes a report with the curves of both runs, and a table of loss,
accuracy and F1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys

from rich.console import Console
from rich.table import Table as ScreenTable

from vidjax.errors import ConfigError, UserError
from vidjax.main import read_config

FIGURES = {
    "train/loss": "training loss",
    "eval/log_loss": "test loss",
    "eval/top1": "top-1",
    "eval/f1_micro": "P = R = F1 (micro)",
    "eval/f1_macro": "F1 (macro)",
}


def run(config, workdir: pathlib.Path, mixup: float) -> dict:
    """Train and score with one alpha; return the flat results, and the last training loss."""
    from vidjax.training import loop
    from vidjax.viz.curves import read_metric

    config = dataclasses.replace(config, data=dataclasses.replace(config.data, mixup=mixup, cutmix=0.0))
    results = loop.train(config, str(workdir))
    return {"mixup": mixup, "train/loss": float(read_metric(workdir / "metrics.jsonl", "train/loss")[1][-1]), **results}


def report(workdir: pathlib.Path, rows: list[dict]) -> pathlib.Path:
    """Write report.md with the table and the curves of both runs."""
    from vidjax.tasks import TASKS
    from vidjax.viz.curves import LOSS, draw_curves
    from vidjax.viz.document import Heading, Picture, Table, Text, write_document

    columns = ("", *FIGURES.values())
    lines = [[name_of(row), *(f"{row[key]:.4f}" for key in FIGURES)] for row in rows]
    runs = {name_of(row): workdir / folder_of(row) for row in rows}
    picture = draw_curves(runs, (LOSS, *TASKS["classification"].curves), workdir / "curves.png")
    blocks = [
        Text("Two runs that differ only in mixup. Mixed labels are harder to fit, so mixup raises the training loss."),
        Heading("Results"),
        Table(columns, lines),
        *([Picture(picture, "Curves of both runs.")] if picture else []),  # a run may be too short for a curve
    ]
    return write_document(workdir, "With and without mixup", blocks)


def name_of(row: dict) -> str:
    return f"mixup {row['mixup']:g}" if row["mixup"] else "without mixup"


def folder_of(row: dict) -> str:
    return "mixup" if row["mixup"] else "plain"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--config", required=True, metavar="FILE[:ARG]", help="with --config.KEY=VALUE, as for vidjax.main"
    )
    parser.add_argument("--alpha", type=float, default=0.4)
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/mixup"))
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args, settings = parser.parse_known_args()
    config = read_config([f"--config={args.config}", *settings])
    if config.task != "classification" or args.alpha <= 0:
        raise ConfigError(f"--config={args.config} --alpha={args.alpha:g}: give a classifier, and an alpha above 0")
    rows = [run(config, args.workdir / folder_of({"mixup": alpha}), alpha) for alpha in (args.alpha, 0.0)]
    path = report(args.workdir, rows)
    if args.json:
        print(json.dumps(rows))
        return 0
    table = ScreenTable("", *FIGURES.values())
    for row in rows:
        table.add_row(name_of(row), *(f"{row[key]:.4f}" for key in FIGURES))
    Console().print(table)
    Console().print(f"report: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
