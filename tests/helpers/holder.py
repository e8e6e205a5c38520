"""A process that locks a workdir like a training run."""

import os
import subprocess
import sys

HOLD = """
import pathlib, sys, time
from vidjax.training.workdir_lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(workdir: str | os.PathLike) -> subprocess.Popen:
    """Start it; the caller reads "held" from its output and kills it."""
    return subprocess.Popen([sys.executable, "-c", HOLD, str(workdir)], stdout=subprocess.PIPE, text=True)
