"""A process that holds a workdir as a run does that trains in it."""

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
