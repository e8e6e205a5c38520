"""Runs of tests/drills/tiny.py as separate processes, on one or more hosts, and the files they leave."""

import json
import socket
from pathlib import Path

import jax
import numpy as np
from forge import Forge, Started

from vidjax.files import Place
from vidjax.weights.read_run import read_params

TINY = Path(__file__).parents[1] / "drills" / "tiny.py"


def start(forge: Forge, workdir, videos, *, processes=1, devices=2, keys=None, environment=None) -> list[Started]:
    """Start a run; every process has `devices` devices."""
    settings = {"data.root": str(videos)} | (keys or {})
    words = ["vidjax", f"--config={TINY}", f"--workdir={workdir}"]
    words += [f"--config.{key}={value}" for key, value in settings.items()]
    if processes > 1:
        words += [f"--coordinator=localhost:{free_port()}", f"--num_processes={processes}"]
    # main takes the command line as one argument
    return [
        forge.start(
            "tiny_runs:main", *words, *([f"--process_id={number}"] if processes > 1 else []),
            devices=devices, environment=environment,
        )
        for number in range(processes)
    ]  # fmt: skip


def main(*words: str) -> int:
    """Run `python -m vidjax.main` in a process that the forge has started."""
    import vidjax.main

    return vidjax.main.main(list(words))


def finish(*processes: Started) -> list[int]:
    """Wait for the exit codes; the output is shown when a test fails."""
    codes = [process.wait() for process in processes]
    print("\n---\n".join(process.said() for process in processes))
    return codes


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def lines(workdir: Place) -> list[dict]:
    """The complete lines of metrics.jsonl."""
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def losses(workdir: Place) -> list[tuple[int, float]]:
    """Step and loss of every line with a loss, in order."""
    return [(line["step"], line["train/loss"]) for line in lines(workdir) if "train/loss" in line]


def same(one, other) -> bool:
    """Whether two trees of arrays are equal bit for bit."""
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def assert_same_run(killed: Place, whole: Place) -> None:
    """Compare the loss of every step, which occurs once, the parameters, their average, the scores and the report."""
    assert losses(killed) == losses(whole)
    for ema in (False, True):
        (one, ours), (other, theirs) = (read_params(workdir, ema=ema) for workdir in (killed, whole))
        assert one == other
        assert same(ours, theirs)
    ours, theirs = (json.loads((workdir / "results.json").read_text()) for workdir in (killed, whole))
    assert ours == theirs
    assert json.loads((killed / "checkpoints" / "scores.json").read_text()) == json.loads(
        (whole / "checkpoints" / "scores.json").read_text()
    )
    last = losses(whole)[-1][0]
    assert f"Trained to step {last} of {last}: " in (killed / "report.md").read_text()
