"""A lock that lets only one process work in a folder: two runs would overwrite each other's metrics and checkpoints."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import socket
import time
from collections.abc import Generator
from typing import TextIO

from vidjax.files import Place, in_bucket
from vidjax.training.workdir_lease import BEAT, PATIENCE, TRAINING, Work, is_alive, leased, taken
from vidjax.viz.time_spent import FILE
from vidjax.weights.run_files import METRICS

LOCK = ".lock"  # in the workdir; names the process that trains there
_SIGN_OF_LIFE = 300.0  # a run on another host counts as alive for this many seconds after it last wrote a file


@contextlib.contextmanager
def locked(workdir: Place, work: Work = TRAINING, lock: str = LOCK) -> Generator[None]:
    """Hold a lock on a folder for some work; the operating system releases it when the process ends, however it ends.

    For a bucket, a lease is held instead. The lock file is removed at the end; a process that had just opened it
    creates a new one.

    Raises:
      ConfigError: when another process holds the lock; the message gives the number and host of that process. Also
        when a bucket cannot be written.
    """
    if in_bucket(workdir):
        with leased(workdir / lock, work):
            yield
        return
    path = pathlib.Path(workdir, lock)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("a+"))
        while _lock(file, path, work) and not _is_still(path, file):
            file = stack.enter_context(path.open("a+"))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def who_trains(workdir: Place) -> str:
    """The process that trains in a folder now, such as `process 7 on host-a since ...`; empty for none.

    A lock from this host counts while its process holds it. A lock from another host counts while the run keeps writing
    its times or its metrics, and a lock in a bucket while the run keeps rewriting it.
    """
    try:
        words = (workdir / LOCK).read_text().split("\n", 1)[0]
    except FileNotFoundError:
        return ""
    if not isinstance(workdir, pathlib.Path):
        alive = time.time() - (workdir / LOCK).stat().mtime < PATIENCE * BEAT
    elif f" on {socket.gethostname()} since " in words:
        alive = _is_held(pathlib.Path(workdir, LOCK), words)
    else:
        signs = [path.stat().st_mtime for path in (workdir / LOCK, workdir / FILE, workdir / METRICS) if path.exists()]
        alive = time.time() - max(signs) < _SIGN_OF_LIFE
    return words if alive else ""


def _is_held(path: pathlib.Path, words: str) -> bool:
    """Return whether the process of this host that a lock names really holds it.

    The lock is only tried if a process with that number runs: trying it could keep a run from starting.
    """
    number = words.split()[1]
    if not number.isdigit() or not is_alive(int(number)):
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return True
    return False


def _lock(file: TextIO, path: Place, work: Work) -> bool:
    """Lock an open file and write its owner into it; False on a file system without locks.

    Raises:
      ConfigError: when another process holds the lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise taken(path, work, file.read().strip()) from None
    except OSError:
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    file.flush()
    return True


def _is_still(path: pathlib.Path, file: TextIO) -> bool:
    """Return whether the path still points to the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
