"""A disk that fills up: a tmpfs of a few kilobytes in its own mount namespace, which needs no privileges."""

import contextlib
import pathlib
import subprocess
import time

import pytest


class SmallDisk:
    """A disk that only programs started in it can see.

    Attributes:
      folder: its path for them; seen: the same from outside, for inspection.
      enter: the command prefix that starts a command in it.
    """

    def __init__(self, folder, holder):
        self.folder, self.seen = folder, pathlib.Path(f"/proc/{holder.pid}/root{folder}")
        enter = ["nsenter", "--preserve-credentials", "--user", "--mount", f"--target={holder.pid}"]
        self.enter = [*enter, f"--wd={pathlib.Path.cwd()}"]

    def start(self, command):
        """Start a program in it."""
        words = [*self.enter, *map(str, command)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, command):
        """Run a program to its end; returns its exit code and its output."""
        process = self.start(command)
        out, said = process.communicate(timeout=240)
        return process.returncode, out, said

    def remount(self, options):
        """Remount with options such as `size=4m`, `ro` or `rw`."""
        assert self.run(["mount", "-o", f"remount,{options}", "none", self.folder]) == (0, "", "")


@contextlib.contextmanager
def small_disk(folder, size):
    """A disk of a size such as `100k`, mounted over a folder, which is created."""
    folder.mkdir()
    script = 'mount -t tmpfs -o size="$1" none "$0" && touch "$0/ready" && exec cat'
    namespaces = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        holder = subprocess.Popen(  # lives, and the disk with it, until its standard input closes
            [*namespaces, "sh", "-c", script, str(folder), size], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        pytest.skip("a small disk needs unshare and nsenter of util-linux")
    try:
        disk = SmallDisk(folder, holder)
        while not (disk.seen / "ready").exists():
            if holder.poll() is not None:
                pytest.skip(f"a small disk cannot be mounted here: {holder.stderr.read().decode().strip()}")
            time.sleep(0.02)
        (disk.seen / "ready").unlink()
        yield disk
    finally:
        holder.kill()
        holder.wait()
