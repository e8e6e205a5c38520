"""One run at a time trains in a folder: two would overwrite each other's metrics and checkpoints."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Generator
from pathlib import Path

from vidjax.errors import ConfigError

LOCK = ".lock"  # of a workdir; says who trains there


@contextlib.contextmanager
def locked(workdir: Path) -> Generator[None]:
    """Hold the lock of a folder; the system gives it back when the process ends, however it does.

    Raises:
      ConfigError: when another run holds it, with its process and host.
    """
    with open(workdir / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(
                f"{workdir} is being trained by {file.read().strip() or 'another process'}; wait for it, stop it, or "
                "name another workdir"
            ) from None
        except OSError:  # a file system without locks
            pass
        else:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            file.flush()
        yield
