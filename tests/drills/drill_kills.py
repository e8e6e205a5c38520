"""kill -9 at any moment: the same command finishes the run, with the results of one that was left alone."""

import collections
import os
import signal
import time

import pytest
from forge import wait_until
from tiny_runs import assert_same_run, finish, losses, start

from vidjax.files import in_bucket

STEPS, VALIDATED = 24, 8
MOMENTS = ("at the start", "in training", "in a save", "in a validation", "after the last checkpoint")
AIMS = ("any moment", *MOMENTS[1:])


def folders(workdir):
    """The folders of checkpoints, and those of them that are whole."""
    if in_bucket(workdir):
        import fsspec

        system, root = fsspec.core.url_to_fs(f"{workdir}/checkpoints")
        found = [path.removeprefix(f"{root}/").split("/") for path in system.find(root)]
        there, marks = {path[0] for path in found if len(path) > 1}, "commit_success.txt"
        return there, {int(path[0]) for path in found if path[1:] == [marks] and path[0].isdigit()}
    try:
        there = set(os.listdir(workdir / "checkpoints"))
    except FileNotFoundError:
        there = set()
    whole = {
        int(name) for name in there if name.isdigit() and (workdir / "checkpoints" / name / "manifest.json").exists()
    }
    return there - {"scores.json"}, whole


def moment(workdir, process, seen):
    """Where a run is, by its console and its checkpoints.

    Args:
      process: the first process of this start.
      seen: the last step that was logged before this start.
    """
    if f"{STEPS} steps of " not in process.said():  # printed once the last checkpoint is read and leftovers are gone
        return "at the start"
    there, whole = folders(workdir)
    if any("orbax-checkpoint-tmp" in name or (name.isdigit() and int(name) not in whole) for name in there):
        return "in a save"
    last = max(whole, default=0)
    if last == STEPS:
        return "after the last checkpoint"
    return "in a validation" if last and last % VALIDATED == 0 and last >= seen else "in training"


def kill(workdir, processes, aim, rng, whole_seconds):
    """Kill a run at some moment, all of its processes at once; where it was then, or "" when it had ended before."""
    seen = max((step for step, _ in losses(workdir)), default=0)
    if aim == "any moment":
        deadline = time.monotonic() + rng.uniform(0, whole_seconds)
        wait_until(lambda: time.monotonic() > deadline, processes[0])
    else:
        pause = 0.1 if in_bucket(workdir) else 0.005
        wait_until(lambda: moment(workdir, processes[0], seen) == aim, processes[0], pause)
        time.sleep(rng.uniform(0, 0.4 if aim != "in a save" else 0.1))
    for process in processes:
        process.signal(signal.SIGKILL)
    codes = [process.wait() for process in processes]
    if set(codes) != {-signal.SIGKILL}:
        assert set(codes) <= {0, -signal.SIGKILL}, "\n".join(process.said() for process in processes)
        return ""
    return moment(workdir, processes[0], seen)


@pytest.mark.parametrize(("processes", "part"), [(1, 0), (2, 0), (2, 1)], ids=["1", "2-first", "2-rest"])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(forge, place, videos, drill, processes, part):
    """Two processes take twice as long, so that drill has two parts."""
    for name in ("whole", "again"):  # the second time it is known how long a start takes that compiles nothing
        begun = time.monotonic()
        assert finish(*start(forge, place / name, videos, processes=processes)) == [0] * processes
        seconds = time.monotonic() - begun
    assert_same_run(place / "again", place / "whole")
    kills, moments = len(range(part, drill.tries(25), processes)), collections.Counter(dict.fromkeys(MOMENTS, 0))
    runs, aims = 0, part
    while moments.total() < kills:
        workdir, runs = place / f"killed-{runs}", runs + 1
        for _ in range(6):
            aim, aims = AIMS[aims % len(AIMS)], aims + 1
            running = start(forge, workdir, videos, processes=processes)
            if not (where := kill(workdir, running, aim, drill.rng, seconds)):
                break
            moments[where] += 1
            if moments.total() == kills:
                break
        assert finish(*start(forge, workdir, videos, processes=processes)) == [0] * processes
        assert_same_run(workdir, place / "whole")
    what = f"kill -9, {processes} process{'es' * (processes > 1)} {'in a bucket' if in_bucket(place) else 'on a disk'}"
    counts = {where: moments[where] for where in MOMENTS}
    drill.found(what, kills=kills, **counts, runs_equal_to_the_bit=runs)
