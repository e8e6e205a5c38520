"""What happens to a workdir under a run: a full disk, no permission, another run, a command that deletes it."""

import collections
import shutil
import subprocess
import sys
import time

import pytest
from forge import wait_until
from tiny_runs import assert_same_run, finish, losses, start

MOUNTED = """
set -e
mount -t tmpfs -o size={room}k none {workdir}
{run} && echo done
echo code $?
mount -o remount,{remount} {workdir}
{run} && echo finished
cp -r {workdir}/. {kept}
"""


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
    drill.found(f"two starts {where}", pairs=tries, finished=codes[0], refused_in_a_sentence=codes[2])


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
        outcomes["ended_in_a_sentence"] += 1
    drill.found("deleted workdirs", **outcomes, exits_0=0)


def run_mounted(tmp_path, script):
    """Run a shell script where it may mount; skips where that is not possible."""
    command = ["unshare", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*command, "mount -t tmpfs none /mnt"]).returncode:
        pytest.skip("this process may not mount a file system")
    return subprocess.run([*command, script], capture_output=True, text=True)


def test_a_run_on_a_disk_that_fills_up_says_so_and_is_finished_when_there_is_room(forge, tmp_path, videos, drill):
    assert finish(*start(forge, tmp_path / "whole", videos)) == [0]
    needed = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*")) >> 10
    (tmp_path / "run").mkdir()
    tries = drill.tries(4)
    for number in range(tries):
        room = int(needed * drill.rng.uniform(0.2, 0.8))
        found = mounted_run(forge, tmp_path, videos, room, "size=1g", tmp_path / f"kept-{number}")
        assert "Traceback" not in found.stderr, found.stderr
        assert "code 2" in found.stdout.splitlines(), found
        assert "finished" in found.stdout.splitlines(), found
        assert_same_run(tmp_path / f"kept-{number}", tmp_path / "whole")
    drill.found("full disks", disks=tries, ended_in_a_sentence=tries, finished_with_room=tries)


def mounted_run(forge, tmp_path, videos, room, remount, kept):
    """A run on a small file system, and again when that was mounted anew."""
    import shlex

    from tiny_runs import TINY

    words = [sys.executable, "-m", "vidjax.main", f"--config={TINY}", f"--workdir={tmp_path / 'run'}"]
    run = "JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=2 " + shlex.join([*words, f"--config.data.root={videos}"])
    script = MOUNTED.format(room=room, workdir=tmp_path / "run", run=run, remount=remount, kept=kept)
    return run_mounted(tmp_path, f"mkdir -p {kept}; {script}")
