"""Start real processes without their imports: they are forked from one that has imported what a run needs.

`python forge.py` is that process: it reads one start per line, and reports which process began and which ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bucket import LEADS

HELPERS = Path(__file__).parent
IMPORTED = (
    "vidjax.main",
    "vidjax.training.loop",
    "vidjax.tasks.classification",
    "runner",
    "matplotlib.pyplot",
    "gcsfs",
)
IMPORTED += ("tensorboardX", "cv2", "av")
TIMEOUT = 900  # seconds; the machine may be busy


class Started:
    """A process in its own group.

    Attributes:
      pid: of the process and its group.
      log: its output.
    """

    def __init__(self, pid: int, log: Path):
        self.pid, self.log, self._ends = pid, log, queue.Queue()
        self.code: int | None = None

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait for the exit code, or minus the number of a signal.

        Raises:
          TimeoutError: when the process does not end; it is then killed.
        """
        if self.code is None:
            try:
                self.code = self._ends.get(timeout=timeout)
            except queue.Empty:
                self.signal(signal.SIGKILL)
                raise TimeoutError(f"still running after {timeout} s: {self.said()}") from None
        return self.code

    def running(self) -> bool:
        """Whether it has not ended yet."""
        if self.code is None:
            with contextlib.suppress(queue.Empty):
                self.code = self._ends.get_nowait()
        return self.code is None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, as a scheduler does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def said(self) -> str:
        """Everything it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Forge:
    """Starts processes.

    Args:
      folder: for their output, and for XLA's compilation cache.
      enter: a command that runs another one, for instance inside a mount namespace, in which all processes then run.
    """

    def __init__(self, folder: Path, compiled: Path, enter: Sequence[str] = ()):
        self._folder, self._number = folder, 0
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "OPENBLAS_NUM_THREADS": "1",  # a fork copies only one thread
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(HELPERS), os.environ.get("PYTHONPATH")))),
        }
        self._process = subprocess.Popen(
            [*enter, sys.executable, __file__],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._begun: queue.Queue[int] = queue.Queue()
        self._running: dict[int, Started] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, call: str, *arguments: str, devices: int = 1, environment: dict[str, str] | None = None) -> Started:
        """Start `module:function` with strings as its arguments.

        Args:
          devices: the number of JAX devices in it.
          environment: variables in addition to those of this process at the first start, and those of a bucket.
        """
        self._number += 1
        log = self._folder / f"{self._number:04d}.log"
        order = {"call": call, "arguments": arguments, "log": str(log), "devices": devices}
        bucket = {name: os.environ[name] for name in LEADS if name in os.environ}
        print(json.dumps(order | {"environment": bucket | (environment or {})}), file=self._process.stdin, flush=True)
        return self._begun_as(self._begun.get(timeout=TIMEOUT), log)

    def close(self) -> None:
        """End the remaining processes, and the one that starts them."""
        self._process.stdin.close()
        self._process.wait()

    def _begun_as(self, pid: int, log: Path) -> Started:
        started = self._running.setdefault(pid, Started(pid, log))
        started.log = log
        return started

    def _listen(self) -> None:
        for line in self._process.stdout:
            word, pid, *code = line.split()
            if word == "begun":
                self._running.pop(int(pid), None)  # left by an earlier process with the same number
                self._begun.put(int(pid))
            else:
                self._running.setdefault(int(pid), Started(int(pid), self._folder))._ends.put(int(code[0]))


def serve() -> None:
    """Start one process per line until there are no more lines."""
    for name in IMPORTED:
        importlib.import_module(name)
    children, rest = set(), b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.01 if children else None)
        for pid, status in ended(children):
            children.discard(pid)
            print("ended", pid, os.waitstatus_to_exitcode(status), flush=True)
        if not ready:
            continue
        content = os.read(0, 1 << 16)
        if not content:
            break
        *lines, rest = (rest + content).split(b"\n")
        for line in lines:
            pid = os.fork()
            if not pid:
                become(json.loads(line))
            children.add(pid)
            print("begun", pid, flush=True)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os._exit(0)  # no imported module needs to clean up


def ended(children: set[int]) -> Iterator[tuple[int, int]]:
    """Yield the processes that have ended, with their status."""
    for pid in tuple(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            yield found, status


def become(order: dict) -> None:
    """Become the requested process; does not return."""
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["environment"])
    import jax

    jax.config.update("jax_num_cpu_devices", order["devices"])
    module, function = order["call"].split(":")
    sys.exit(getattr(importlib.import_module(module), function)(*order["arguments"]))


def wait_until(true, process: Started, pause: float = 0.01) -> bool:
    """Wait for a condition while a process runs; returns whether it became true before the end."""
    while process.running():
        if true():
            return True
        time.sleep(pause)
    return bool(true())


if __name__ == "__main__":
    serve()
