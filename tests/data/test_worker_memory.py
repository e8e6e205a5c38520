"""Shared memory of loader workers: a normal end leaves none, and the next start removes what a kill left behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import sys, time
from vidjax.config import DataConfig
from vidjax.data import open_source, train_batches
from vidjax.data.worker_memory import own_mark

if __name__ == "__main__":
    data = DataConfig(name="synthetic", num_frames=4, stride=1, image_size=32, global_batch=4, workers=2, threads=1)
    batches = train_batches(open_source(data, "train"), data, seed=0)
    for _ in range(3):
        next(batches)
    print(own_mark(), flush=True)
    time.sleep(float(sys.argv[1]))
    batches.close()
"""
SLOW_CLEANUP = """
import time
from multiprocessing import resource_tracker

def unregister(name, kind, done=resource_tracker.unregister):
    time.sleep(0.02)
    done(name, kind)

resource_tracker.unregister = unregister
"""
SHM = pathlib.Path("/dev/shm")

pytestmark = pytest.mark.skipif(not SHM.is_dir(), reason="segments are files on Linux alone")


def left_by(mark):
    return {path.name for path in SHM.glob(f"{mark}*")}


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(seconds, before=""):
        (tmp_path / "program.py").write_text(before + PROGRAM)
        started.append(
            subprocess.Popen(
                [sys.executable, tmp_path / "program.py", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, start_new_session=True,
            )
        )  # fmt: skip
        mark = started[-1].stdout.readline().strip()
        assert mark.startswith("vidjax-"), started[-1].communicate()
        return started[-1], mark

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_segments_left_by_a_kill_are_removed_and_those_in_use_stay(start):
    process, mark = start(120)
    time.sleep(1)  # until the workers have read ahead
    os.killpg(process.pid, signal.SIGKILL)  # with its workers and Python's resource tracker
    process.wait()
    assert len(left_by(mark)) > 1, "nothing was left behind, so nothing is tested"
    running, in_use = start(120)
    assert not left_by(mark)
    ended, _ = start(0)
    assert ended.wait(30) == 0
    assert f"{in_use}.lock" in left_by(in_use)
    assert running.poll() is None


@pytest.mark.parametrize("before", ["", SLOW_CLEANUP], ids=["", "slow cleanup"])
def test_a_normal_end_leaves_nothing_and_warns_of_nothing(start, before):
    process, mark = start(0, before)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert not left_by(mark)
