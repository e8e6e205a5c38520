"""Train every family from random weights on the built-in videos with one recipe: which ones learn to see motion?

    python scripts/compare_families.py --workdir runs/families [--rows videomae,vivit_encoder] [--steps 2400] [--json]

All models see the same clips in the same order for the same number of steps (`configs/motion_families.py`). Attention
within frames only is the control: it can use the content of frames, but not their order.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import pathlib
import sys
import time

from rich.console import Console
from rich.table import Table

from vidjax import config as config_lib
from vidjax.errors import ConfigError, UserError

EXPERIMENT = pathlib.Path(__file__).resolve().parents[1] / "configs" / "motion_families.py"


def experiment():
    """Import the module `configs/motion_families.py`."""
    spec = importlib.util.spec_from_file_location(EXPERIMENT.stem, EXPERIMENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_row(row: str, workdir: pathlib.Path, *, steps: int, seed: int) -> dict:
    """Train one model and return its accuracy, size and cost."""
    import jax

    from vidjax.tasks import build_objective
    from vidjax.training import loop

    config = config_lib.from_dict(experiment().get_config(row).to_dict())
    train = dataclasses.replace(config.train, steps=steps, checkpoint_every=steps)
    config = dataclasses.replace(config, seed=seed, train=train)
    start = time.time()
    results = loop.train(config, str(workdir / f"{row}-seed{seed}"))
    objective = build_objective(config, 8)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    return {
        "model": row,
        "seed": seed,
        "steps": steps,
        "top1": results["eval/top1"],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes)),
        "mmacs": objective.module.spec.classifier_macs(8) / 1e6,
        "minutes": round((time.time() - start) / 60, 1),
    }


def main() -> int:
    rows = tuple(experiment().SIZES)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/families"))
    parser.add_argument("--rows", default=",".join(rows), help="some of: " + ", ".join(rows))
    parser.add_argument("--steps", type=int, default=experiment().get_config().train.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args()
    wanted = args.rows.split(",")
    if unknown := sorted(set(wanted) - set(rows)):
        raise ConfigError(f"--rows: {', '.join(unknown)} is unknown; choose from {', '.join(rows)}")

    table = [run_row(row, args.workdir, steps=args.steps, seed=args.seed) for row in wanted]
    if args.json:
        print(json.dumps(table))
        return 0
    shown = Table(title=f"Motion from random weights, {args.steps} steps, seed {args.seed}; chance 12.5 %")
    for column in ("model", "top-1", "parameters", "MMACs per clip", "minutes"):
        shown.add_column(column)
    for row in table:
        cells = f"{row['top1']:.1%}", f"{row['parameters']:,}", f"{row['mmacs']:.1f}", f"{row['minutes']:.1f}"
        shown.add_row(row["model"], *cells)
    Console().print(shown)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"vidjax: {error}")
