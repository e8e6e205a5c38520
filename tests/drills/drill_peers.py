"""Processes that die, hang or disagree: the others stop with a sentence that names them, and nothing is lost."""

import collections
import signal
import socket
import time

from drill_meshes import toy_run
from forge import wait_until
from tiny_runs import finish, losses

SILENCE = 5  # seconds without a sign of life
DISAGREEMENTS = {
    "seed=7": "seed is 0 on {} and 7 on {}",
    "optim__base_lr=0.5": "optim.base_lr is 0.16 on {} and 0.5 on {}",
    "model__mask_ratio=0.5": "model.mask_ratio is 0.9 on {} and 0.5 on {}",
    "data__flip=0.5": "data.flip is 0.0 on {} and 0.5 on {}",
    "optim__skip_spikes=6.0": "optim.skip_spikes is 0.0 on {} and 6.0 on {}",
    "train__roll_back_after=3": "train.roll_back_after is 0 on {} and 3 on {}",
}


def test_a_dead_or_hanging_process_is_named_and_the_run_resumes_unharmed(forge, tmp_path, drill):
    assert finish(*toy_run(forge, tmp_path / "whole", processes=2, devices=2, seconds=0)) == [0, 0]
    outcomes, longest, tries = collections.Counter(), 0.0, drill.tries(8)
    for number in range(tries):
        workdir, lost, how = tmp_path / str(number), number % 2, (signal.SIGKILL, signal.SIGSTOP)[number // 2 % 2]
        silence = f"train__peer_seconds={SILENCE}"
        pair = toy_run(forge, workdir, silence, processes=2, devices=2, seconds=0.1)
        step = int(drill.rng.integers(1, 30))
        wait_until(lambda workdir=workdir, step=step: max(dict(losses(workdir)), default=0) >= step, pair[0])
        since = time.monotonic()
        pair[lost].signal(how)
        assert pair[1 - lost].wait() == 4, pair[1 - lost].said()
        longest = max(longest, time.monotonic() - since)
        pair[lost].signal(signal.SIGKILL)
        pair[lost].wait()
        assert f"process {lost} on {socket.gethostname()}" in pair[1 - lost].said()
        assert "Traceback" not in pair[1 - lost].said()
        assert finish(*toy_run(forge, workdir, processes=2, devices=2, seconds=0)) == [0, 0]
        assert losses(workdir) == losses(tmp_path / "whole")
        outcomes["killed" if how == signal.SIGKILL else "stopped"] += 1
    what = (
        f"one of two processes dies or hangs; with train.peer_seconds={SILENCE} the other ends within {longest:.0f} s"
    )
    drill.found(what, **outcomes, named=tries, runs_equal_to_the_bit=tries)


def test_processes_that_disagree_stop_before_the_first_step(forge, tmp_path, drill):
    chosen = list(DISAGREEMENTS)[: drill.tries(len(DISAGREEMENTS))]
    for change in chosen:
        pair = toy_run(forge, tmp_path / change, processes=2, of_last=(change,))
        assert finish(*pair) == [2, 2]
        names = [f"process {number} on {socket.gethostname()}" for number in (0, 1)]
        for process in pair:
            assert DISAGREEMENTS[change].format(*names) in process.said()
        assert not losses(tmp_path / change)
    drill.found("two processes with different values of a key", keys=len(chosen), named_with_both_values=len(chosen))
