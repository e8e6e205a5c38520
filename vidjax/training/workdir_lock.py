"""One run at a time trains in a folder: two would overwrite each other's metrics and checkpoints."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import socket
import time
from collections.abc import Generator
from typing import TextIO

from vidjax.errors import ConfigError
from vidjax.files import Place, in_bucket
from vidjax.training.workdir_lease import leased

LOCK = ".lock"  # of a workdir; says who trains there


@contextlib.contextmanager
def locked(workdir: Place) -> Generator[None]:
    """Hold the lock of a folder; the system gives it back when the process ends, however it does.

    A bucket has a lease in its place. The file is removed at the end; a process that had opened it just before makes a
    new one.

    Raises:
      ConfigError: when another run holds it, with its process and host.
    """
    if in_bucket(workdir):
        with leased(workdir / LOCK):
            yield
        return
    path = pathlib.Path(workdir, LOCK)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("a+"))
        while _lock(file, workdir) and not _is_still(path, file):
            file = stack.enter_context(path.open("a+"))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: TextIO, workdir: Place) -> bool:
    """Take the lock of an open file and write into it whose it is; False on a file system without locks.

    Raises:
      ConfigError: when another process has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ConfigError(
            f"{workdir} is being trained by {file.read().strip() or 'another process'}; wait for it, stop it, or name "
            "another workdir"
        ) from None
    except OSError:
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    file.flush()
    return True


def _is_still(path: pathlib.Path, file: TextIO) -> bool:
    """Whether an open file is the one that the path leads to."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
