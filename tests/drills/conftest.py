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

SEED = pytest.StashKey[int]()
LONGEST = ("drill_kills", "drill_workdirs", "drill_peers", "drill_steps")  # minutes each, where others take seconds


def pytest_addoption(parser):
    group = parser.getgroup("drills")
    group.addoption("--share", type=float, default=1.0, help="of the full number of tries")
    group.addoption("--drill-table", metavar="FILE", help="where the table is added to, as Markdown")


def pytest_configure(config):
    config.stash[SEED] = int(os.environ.setdefault("VIDJAX_TEST_SEED", str(int.from_bytes(os.urandom(4)))))


def pytest_report_header(config):
    return f"VIDJAX_TEST_SEED={config.stash[SEED]}"


def pytest_collection_modifyitems(items):
    """The longest drills first, so that no process of `-n 2` begins one when the other has nothing left to do."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


class Drill:
    """One drill: its random numbers, how often it tries, and what it says in the end.

    Attributes:
      seed: that its random numbers come from, with its name.
    """

    def __init__(self, node):
        self._node, self._begun = node, time.monotonic()
        self.seed = node.config.stash[SEED]
        self.rng = np.random.default_rng([self.seed, zlib.crc32(node.name.encode())])

    def tries(self, number):
        """How many of a full number to make."""
        return max(1, round(number * self._node.config.getoption("share")))

    def found(self, what, **counts):
        """Enter what was done and how often each outcome was seen; the parts of one drill share a row of the table."""
        self._node.user_properties.append(("drill", (what, counts, time.monotonic() - self._begun)))


@pytest.fixture
def drill(request):
    found = Drill(request.node)
    print(f"seed: VIDJAX_TEST_SEED={found.seed}")  # shown when the drill fails
    return found


def merged(rows):
    """Rows by name, with the counts and seconds of equal names added up."""
    found = {}
    for what, counts, seconds in rows:
        total, spent = found.get(what, ({}, 0.0))
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
        found[what] = total, spent + seconds
    return sorted(found.items())


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Where XLA keeps what it has compiled, for all processes that are started."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "xla"


@pytest.fixture(scope="session")
def forge(tmp_path_factory, compiled):
    made = Forge(tmp_path_factory.mktemp("forge"), compiled)
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
    passed = terminalreporter.stats.get("passed", ())
    rows = [row for report in passed for name, row in report.user_properties if name == "drill"]
    if not rows or hasattr(config, "workeroutput"):  # a process of `-n 2` has handed them to the one that prints
        return
    about = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in about if "model name" in line), "")
    cores, day = len(os.sched_getaffinity(0)), datetime.date.today()
    about = f"{cores} cores of {cpu or platform.machine()}, {day}; --share={config.getoption('share')}"
    lines = [about, "", "| drill | found | seed | seconds |", "|---|---|---|---|"]
    for what, (counts, seconds) in merged(rows):
        outcome = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
        lines.append(f"| {what} | {outcome} | {config.stash[SEED]} | {seconds:.0f} |")
    table = "\n".join((*lines, ""))
    terminalreporter.write(f"\n{table}")
    if path := config.getoption("drill_table"):
        with open(path, "a") as file:
            file.write(table)
