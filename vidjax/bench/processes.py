"""Contenders that are whole processes, timed from their start to the answer, as a user waits for them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from vidjax.bench.race import Run

_ON_THE_CPU = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


def vidjax_words(*words: str) -> list[str]:
    """Return the command line of a `vidjax` verb."""
    return [sys.executable, "-m", "vidjax.cli", *words]


def command(words: list[str], **environ: str) -> Run:
    """Return a run that starts the process `count` times on the CPU, one after another.

    The run raises a RuntimeError with the last line of error output if a process fails.

    Args:
      environ: environment variables to set or override.
    """

    def run(count: int) -> None:
        for _ in range(count):
            environment = os.environ | _ON_THE_CPU | environ
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                said = done.stderr.strip().splitlines() or ["no error message"]
                raise RuntimeError(f"exit code {done.returncode}: {said[-1]}")

    return run


def children_seconds() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
