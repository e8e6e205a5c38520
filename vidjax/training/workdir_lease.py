"""A lease that lets only one process work in a bucket's folder: an object that its holder rewrites again and again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Generator
from typing import NamedTuple

from vidjax.errors import ConfigError
from vidjax.files import Place
from vidjax.training.telemetry import say

BEAT = 15.0  # seconds between two writes
PATIENCE = 4  # beats without a change after which the run counts as dead


class Work(NamedTuple):
    """The purpose of a lock, in the words of its message: "... is being {done} by ...; name another {place}"."""

    done: str
    place: str


TRAINING = Work("trained", "workdir")


@contextlib.contextmanager
def leased(path: Place, work: Work = TRAINING) -> Generator[None]:
    """Hold a lock object in a bucket during some work, and remove it at the end.

    Object stores do not release a lock when its process dies. The lock of a process that has ended on this host is
    taken over at once; any other lock is taken over once it has not changed for a minute. A run whose own lock was
    taken over, for example after a minute without a connection, stops as if it had received SIGTERM.

    Raises:
      ConfigError: when another run holds the lock (the message names its process and host), or the bucket cannot be
        written.
    """
    beat = _Beat(path, work)
    try:
        _wait_for_the_dead(path, work)
        beat.write(new=True)
    except ConfigError:
        raise
    except Exception as error:  # each store has its own exceptions for credentials, permissions, names and connections
        raise ConfigError(f"{path.parent} cannot be written: {str(error) or type(error).__name__}") from error
    if _read(path) != beat.content:
        raise taken(path, work, _read(path))
    thread = threading.Thread(target=beat.keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        beat.over.set()
        thread.join()
        if _read(path) == beat.content:
            path.unlink()


class _Beat:
    """A lock that is rewritten regularly, so that others see that its run is alive.

    Attributes:
      content: content of the lock as last written.
      over: set when the run ends.
    """

    def __init__(self, path: Place, work: Work):
        self._work = work
        self._path, self._token, self._count = path, uuid.uuid4().hex, 0
        self._about = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        self.content, self.over = "", threading.Event()

    def write(self, *, new: bool = False) -> None:
        """Write the lock.

        Args:
          new: refuse to overwrite another run's lock if the store supports that; the caller reads it back to check.
        """
        import fsspec

        self._count += 1
        self.content = f"{self._about}\n{self._token} {self._count}\n"
        system, path = fsspec.core.url_to_fs(os.fspath(self._path))
        try:
            system.pipe_file(path, self.content.encode(), mode="create" if new else "overwrite")
        except FileExistsError:
            raise taken(self._path, self._work, _read(self._path)) from None

    def keep(self) -> None:
        """Rewrite the lock until the run is over; a write that fails is retried at the next beat."""
        while not self.over.wait(BEAT):
            try:
                found = _read(self._path)
                if found != self.content:
                    say(f"the lock {self._path} was taken by {_owner(found)}; this process stops")
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                self.write()
            except Exception as error:  # raised by the store; another run takes the lock only after several failures
                say(f"the lock {self._path} could not be renewed: {error}")


def _wait_for_the_dead(path: Place, work: Work) -> None:
    """Remove the lock of a dead run, after waiting to make sure that it is dead.

    Raises:
      ConfigError: when the run is alive.
    """
    found = _read(path)
    if not found:
        return
    if not _has_ended(found):
        say(f"{path.parent} is locked by {_owner(found)}; waiting {PATIENCE * BEAT:.0f} s to see whether it is alive")
        for _ in range(PATIENCE):
            time.sleep(BEAT)
            if _read(path) != found:
                raise taken(path, work, _read(path))
    path.unlink(missing_ok=True)


def _has_ended(content: str) -> bool:
    """Return whether a lock belongs to a process of this host that has ended."""
    words = content.split()
    if len(words) < 4 or words[3] != socket.gethostname() or not words[1].isdigit():
        return False
    own = int(words[1]) == os.getpid()  # an earlier process with this number, as in a restarted container
    return own or not is_alive(int(words[1]))


def is_alive(process: int) -> bool:
    """Return whether a process with this number runs on this host."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        pass
    return True


def _read(path: Place) -> str:
    """The content of the lock; empty if there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _owner(content: str) -> str:
    return content.split("\n", 1)[0] or "another process"


def taken(path: Place, work: Work, content: str) -> ConfigError:
    """Return the error of a lock that another process holds; `content` is that of the lock."""
    return ConfigError(
        f"{path.parent} is being {work.done} by {_owner(content)}; wait for it, stop it, or name another {work.place}"
    )
