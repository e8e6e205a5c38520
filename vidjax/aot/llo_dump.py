"""Ask the TPU compiler to write the schedules of kernels, which `vidjax.aot.bundles` reads.

The flags for this are undocumented, and an unknown flag ends the process, so they are first tried in another process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vidjax.aot.bundles import dump_flags

_TRIAL = (
    "from jax.experimental import topologies as t; t.get_topology_desc('v5e:1x1', 'tpu', chips_per_host_bounds=(1,1,1))"
)
_SECONDS = 120  # for the trial, which takes one or two seconds on an idle machine


def ask() -> Path | None:
    """Make every later compilation in this process write schedules to a folder, and return the folder.

    Call this before the TPU compiler is first used. The folder is temporary; it grows by up to 400 MB per program, and
    its reader should empty it.

    Returns:
      the folder; None if the compiler is not installed or does not know the flags.
    """
    folder = Path(tempfile.mkdtemp(prefix="vidjax-schedules-"))
    flags = f"{os.environ.get('LIBTPU_INIT_ARGS', '')} {dump_flags(folder)}".strip()
    quiet = {"JAX_PLATFORMS": "cpu", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    try:
        subprocess.run(
            [sys.executable, "-c", _TRIAL],
            env=os.environ | quiet | {"LIBTPU_INIT_ARGS": flags}, check=True, capture_output=True, timeout=_SECONDS,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError):
        shutil.rmtree(folder)
        return None
    os.environ["LIBTPU_INIT_ARGS"] = flags
    return folder


def empty(folder: Path) -> None:
    """Remove the files in a folder."""
    for path in folder.iterdir():
        path.unlink()
