"""The models of a page for which nobody names one: those of the quickstart, or tiny ones that are trained for it."""

from __future__ import annotations

import os
from pathlib import Path

from vidjax.weights.run_files import RESULTS, is_run

QUICKSTART, OWN = "runs/quickstart", "runs/demo"  # folders, below the one that one works in
_RUNS = ("finetune", "scratch", "pretrain")  # of the quickstart; a page takes the first of a kind before the others
# A quarter of the quickstart's pre-training and half of its fine-tuning.
_SETTINGS = {"pretrain": ("--config.train.steps=600",), "finetune": ("--config.train.steps=300",)}


def find_runs(folder: str | os.PathLike) -> list[str]:
    """The finished runs of a quickstart, or of `train_runs`, that a page can show; none where no classifier is."""
    for seed in sorted(Path(folder).glob("seed*")) or [Path(folder)]:
        if _is_finished(seed / "finetune"):
            return [str(seed / name) for name in _RUNS if _is_finished(seed / name)]
    return []


def train_runs(folder: str | os.PathLike) -> list[str]:
    """Pre-train and fine-tune the quickstart's model on its videos, in fewer steps; runs that are stopped go on."""
    from vidjax.main import read_config
    from vidjax.training import loop

    folder = Path(folder)
    for name, settings in _SETTINGS.items():
        start = (f"--config.init_from={folder / 'pretrain'}",) if name == "finetune" else ()
        loop.train(read_config([f"--config=motion_{name}", *settings, *start]), folder / name)
    return find_runs(folder)


def _is_finished(run: Path) -> bool:
    return is_run(run) and (run / RESULTS).is_file()
