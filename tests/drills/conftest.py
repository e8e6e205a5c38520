"""What drills share: their size, their seed, and the table of what they found.

Files are called `drill_*.py`, so that only `make test-drills` collects them.
"""

import datetime
import os
import platform
import time
import zlib
from pathlib import Path

import bucket
import numpy as np
import pytest
from forge import Forge

ROWS = pytest.StashKey[list]()
SEED = pytest.StashKey[int]()


def pytest_addoption(parser):
    group = parser.getgroup("drills")
    group.addoption("--share", type=float, default=1.0, help="of the full number of tries")
    group.addoption("--drill-table", metavar="FILE", help="where the table is added to, as Markdown")


def pytest_configure(config):
    config.stash[ROWS] = []
    config.stash[SEED] = int(os.environ.setdefault("VIDJAX_TEST_SEED", str(int.from_bytes(os.urandom(4)))))


def pytest_sessionfinish(session):
    """A process of `-n 2` hands its rows to the one that prints the table."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["rows"] = session.config.stash[ROWS]


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node):
    node.config.stash[ROWS] += getattr(node, "workeroutput", {}).get("rows", [])


class Drill:
    """One drill: its random numbers, how often it tries, and what it says in the end."""

    def __init__(self, name, config):
        self._name, self._config, self._begun = name, config, time.monotonic()
        self.seed = config.stash[SEED]
        self.rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def tries(self, number):
        """How many of a full number to make."""
        return max(1, round(number * self._config.getoption("share")))

    def found(self, what, **counts):
        """Enter a row of the table: what was done, and how often each outcome was seen."""
        outcome = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
        seconds = time.monotonic() - self._begun
        self._config.stash[ROWS].append(f"| {what} | {outcome} | {self.seed} | {seconds:.0f} |")


@pytest.fixture
def drill(request):
    found = Drill(request.node.name, request.config)
    print(f"seed: VIDJAX_TEST_SEED={found.seed}")  # shown when the drill fails
    return found


@pytest.fixture(scope="session")
def forge(tmp_path_factory):
    made = Forge(tmp_path_factory.mktemp("forge"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Sixteen training videos of two classes, and six to validate on."""
    from videos import encode, moving_texture

    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 16), ("val", 6)):
        for number in range(count):
            path = root / split / "ab"[number % 2] / f"{number:02d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(moving_texture(8, 32, 48, seed=number + 100 * (split == "val"))))
    return root


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path):
    """A folder for runs, on a disk or in an emulated bucket."""
    yield from bucket.disk_or_bucket(request.param, tmp_path)


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[ROWS]
    if not rows:
        return
    about = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in about if "model name" in line), "")
    cores, day = len(os.sched_getaffinity(0)), datetime.date.today()
    about = f"{cores} cores of {cpu or platform.machine()}, {day}; --share={config.getoption('share')}"
    lines = [about, "", "| drill | found | seed | seconds |", "|---|---|---|---|", *rows, ""]
    terminalreporter.write("\n" + "\n".join(lines))
    if path := config.getoption("drill_table"):
        with open(path, "a") as file:
            file.write("\n".join(lines))
