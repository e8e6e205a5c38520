"""Shared memory that loader workers send pictures through, under names by which a later start finds what was left.

Python's resource tracker removes the segments of a process that was killed, unless it was killed too, as all of a
process group or of a container are. So their names begin with a mark of the process that reads batches, which holds a
lock on a file of that name for as long as it lives: what nobody holds is swept. Process numbers would not do, since
containers may share /dev/shm and count processes each for itself.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import multiprocessing.shared_memory
import os
import pathlib
import secrets

_FOLDER = pathlib.Path("/dev/shm")  # of Linux; elsewhere nothing can be listed
_LOCKS = "vidjax-*.lock"


@functools.cache
def own_mark() -> str:
    """What the names of this process's segments begin with; empty where segments are no files."""
    if not _FOLDER.is_dir():
        return ""
    while True:
        path = _FOLDER / f"vidjax-{secrets.token_hex(8)}.lock"
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)  # held until this process ends
        if path.exists():  # else it was swept before it was locked
            atexit.register(path.unlink, missing_ok=True)
            return path.stem
        os.close(file)


def mark_segments(mark: str) -> None:
    """Give the segments that this process makes names that begin with a mark; for a worker, which makes no others."""
    if mark:
        module = multiprocessing.shared_memory
        module._make_filename = lambda: f"/{mark}-{secrets.token_hex(8)}"  # ty: ignore[missing-attribute]


def sweep() -> None:
    """Remove the segments of processes that have ended without doing so."""
    for path in _FOLDER.glob(_LOCKS):
        with contextlib.suppress(OSError):  # another process holds it, sweeps it too, or belongs to another user
            file = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for segment in _FOLDER.glob(f"{path.stem}-*"):
                    segment.unlink(missing_ok=True)
                path.unlink()
            finally:
                os.close(file)
