"""Shared memory through which loader workers send frames, named so that a later start can remove what was left behind.

Python's resource tracker removes the segments of a killed process, unless the tracker is killed too, together with the
whole process group or container. Segment names therefore begin with a mark of the process that reads batches. That
process holds a lock on a file of the same name for as long as it lives, and segments whose lock nobody holds are
removed. Process numbers would not do: containers may share /dev/shm while each numbers its own processes.
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

_FOLDER = pathlib.Path("/dev/shm")  # on Linux; other systems offer no way to list segments
_LOCKS = "vidjax-*.lock"


@functools.cache
def own_mark() -> str:
    """The prefix of this process's segment names; empty where segments are not files."""
    if not _FOLDER.is_dir():
        return ""
    while True:
        path = _FOLDER / f"vidjax-{secrets.token_hex(8)}.lock"
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)  # held until this process ends
        if path.exists():  # otherwise another process removed it before it was locked
            atexit.register(path.unlink, missing_ok=True)
            return path.stem
        os.close(file)


def mark_segments(mark: str) -> None:
    """Make the names of this process's new segments begin with a mark; for workers, which make no other segments."""
    if mark:
        module = multiprocessing.shared_memory
        module._make_filename = lambda: f"/{mark}-{secrets.token_hex(8)}"  # ty: ignore[missing-attribute]


def sweep() -> None:
    """Remove the segments that ended processes left behind."""
    for path in _FOLDER.glob(_LOCKS):
        with contextlib.suppress(OSError):  # another process holds or removes the file, or another user owns it
            file = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for segment in _FOLDER.glob(f"{path.stem}-*"):
                    segment.unlink(missing_ok=True)
                path.unlink()
            finally:
                os.close(file)
