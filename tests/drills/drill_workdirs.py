"""What happens to a workdir under a run: a full disk, no permission, another run, a command that deletes it."""

import collections
import shutil
import signal
import time

import pytest
from forge import Forge, wait_until
from small_disk import small_disk
from tiny_runs import assert_same_run, finish, losses, start


def test_of_two_starts_in_one_workdir_one_trains_and_the_other_says_so(forge, place, videos, drill):
    assert finish(*start(forge, place / "whole", videos)) == [0]
    codes, tries = collections.Counter(), drill.tries(8)
    for number in range(tries):
        workdir = place / f"two-{number}"
        pair = []
        for _ in range(2):
            pair += start(forge, workdir, videos)
            time.sleep(drill.rng.uniform(0, 1) * (number % 2))
        ends = finish(*pair)
        assert sorted(ends) == [0, 2]
        (refused,) = (process for process, code in zip(pair, ends, strict=True) if code == 2)
        assert "is being trained by" in refused.said()
        assert "Traceback" not in refused.said()
        codes.update(ends)
        assert_same_run(workdir, place / "whole")
    where = "on a disk" if place.is_dir() and "://" not in str(place) else "in a bucket"
    drill.found(f"two starts {where}", pairs=tries, finished=codes[0], refused_with_a_message=codes[2])


def test_a_workdir_that_is_deleted_ends_the_run_in_a_sentence(forge, tmp_path, videos, drill):
    outcomes, tries = collections.Counter(), drill.tries(8)
    for number in range(tries):
        workdir, at = tmp_path / f"run-{number}", int(drill.rng.integers(1, 20))
        (process,) = start(forge, workdir, videos, keys={"train.steps": 60})
        wait_until(lambda workdir=workdir, at=at: max(dict(losses(workdir)), default=0) >= at, process)
        gone = workdir.rename(tmp_path / f"gone-{number}")  # at once, since the run goes on writing
        shutil.rmtree(gone, ignore_errors=True)
        code = process.wait()
        assert "Traceback" not in process.said(), process.said()
        assert code == 2, process.said()
        outcomes["ended_with_a_message"] += 1
    drill.found("deleted workdirs", **outcomes, exited_with_0=0)


@pytest.fixture(scope="module")
def small_and_forge(tmp_path_factory, compiled):
    """A disk that can be made small or read-only, and a forge of processes that see it."""
    folder = tmp_path_factory.mktemp("small")
    with small_disk(folder / "disk", "1g") as disk:
        inside = Forge(folder, compiled, disk.enter)
        yield disk, inside
        inside.close()


@pytest.fixture
def small(small_and_forge):
    """The disk with room again, whatever a drill that failed has left."""
    disk, inside = small_and_forge
    disk.remount("rw,size=1g")
    for left in disk.seen.iterdir():
        shutil.rmtree(left)
    return disk, inside


def is_refused(process, why):
    """A start ends with exit code 2 and one sentence, and no traceback comes before it."""
    assert finish(process) == [2]
    assert "Traceback" not in process.said()
    last = process.said().strip().splitlines()[-1]
    assert last.startswith("vidjax: ")
    assert why in last


def test_a_run_on_a_disk_that_fills_up_says_so_and_is_finished_when_there_is_room(
    forge, small, tmp_path, videos, drill
):
    assert finish(*start(forge, tmp_path / "whole", videos)) == [0]
    needed = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*")) >> 10
    (disk, inside), tries = small, drill.tries(8)
    for number in range(tries):
        name = f"full-{number}"
        disk.remount(f"size={int(needed * drill.rng.uniform(0.2, 0.8))}k")
        is_refused(*start(inside, disk.folder / name, videos), "No space left on device")
        disk.remount("size=1g")
        assert finish(*start(inside, disk.folder / name, videos)) == [0]
        assert_same_run(disk.seen / name, tmp_path / "whole")
        shutil.rmtree(disk.seen / name)
    drill.found("full disks", disks=tries, ended_with_a_message=tries, finished_with_room=tries)


def test_a_run_on_a_disk_that_became_read_only_says_so_and_is_finished_when_it_is_writable(
    forge, small, tmp_path, videos, drill
):
    """The run is killed first: a disk on which files are being written cannot be made read-only."""
    assert finish(*start(forge, tmp_path / "whole", videos)) == [0]
    (disk, inside), tries = small, drill.tries(8)
    for number in range(tries):
        name, step = f"read-only-{number}", int(drill.rng.integers(1, 24))
        (process,) = start(inside, disk.folder / name, videos)
        wait_until(lambda name=name, step=step: max(dict(losses(disk.seen / name)), default=0) >= step, process)
        process.signal(signal.SIGKILL)
        process.wait()
        disk.remount("ro")
        is_refused(*start(inside, disk.folder / name, videos), "Read-only file system")
        disk.remount("rw")
        assert finish(*start(inside, disk.folder / name, videos)) == [0]
        assert_same_run(disk.seen / name, tmp_path / "whole")
        shutil.rmtree(disk.seen / name)
    drill.found("read-only disks", disks=tries, ended_with_a_message=tries, finished_when_writable=tries)
