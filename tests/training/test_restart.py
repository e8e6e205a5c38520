"""Real processes that are killed at random moments, stopped by a scheduler, or train in pairs."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import bucket
import jax
import numpy as np
import pytest

from vidjax.weights.read_run import read_params

RUNNER = pathlib.Path(__file__).parents[1] / "helpers" / "runner.py"
ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 240


def spawn(workdir, *changes, seconds=0.0, devices=4, **environment):
    return start([str(RUNNER), str(workdir), str(seconds), *changes], devices, environment)


def start(arguments, devices, environment):
    """Start a Python program in its own process group."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)} | environment
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(*processes):
    """Exit codes; stderr becomes part of a failing test's assertion."""
    words = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
    codes = [process.returncode for process in processes]
    print("\n---\n".join(words))
    return codes


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path):
    """A folder for runs, on a disk or in an emulated bucket."""
    yield from bucket.disk_or_bucket(request.param, tmp_path)


def losses(workdir):
    path = workdir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return {line["step"]: line["train/loss"] for line in map(json.loads, lines)}


def wait_for_step(workdir, step):
    deadline = time.monotonic() + TIMEOUT
    while max(losses(workdir), default=0) < step:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pair(workdir, *changes, seconds=0.0):
    """Start two processes with two devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    common = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [
        spawn(workdir, *changes, seconds=seconds, devices=2, **common, JAX_PROCESS_ID=str(number)) for number in (0, 1)
    ]


@pytest.mark.slow
def test_resume_after_kill_repeats_losses_to_the_bit(place):
    changes = ("train__steps=40", "train__checkpoint_every=3", "optim__ema=0.9")
    assert finish(spawn(place / "whole", *changes)) == [0]
    seed = int(os.environ.get("VIDJAX_TEST_SEED") or int.from_bytes(os.urandom(4)))
    print(f"the moments of the kills are those of VIDJAX_TEST_SEED={seed}")  # shown when the test fails
    rng = random.Random(seed)
    for _ in range(4):
        process = spawn(place / "killed", *changes, seconds=0.05)
        wait_for_step(place / "killed", max(losses(place / "killed"), default=0) + 1)
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        assert finish(process) == [-signal.SIGKILL]
    assert finish(spawn(place / "killed", *changes)) == [0]
    assert losses(place / "killed") == losses(place / "whole")
    assert list(losses(place / "killed")) == list(range(1, 41))


@pytest.mark.slow
def test_sigterm_saves_the_step_and_exits_with_143(tmp_path):
    process = spawn(tmp_path, "train__steps=1000", "train__checkpoint_every=1000", seconds=0.05)
    wait_for_step(tmp_path, 3)
    process.terminate()
    assert finish(process) == [143]
    assert read_params(tmp_path)[0] == max(losses(tmp_path))


@pytest.mark.slow
def test_two_processes_train_and_stop_and_resume_like_one(place):
    changes = ("train__steps=12", "mesh__fsdp=2", "train__checkpoint_every=5")
    assert finish(spawn(place / "one", *changes)) == [0]
    first = pair(place / "two", *changes, seconds=0.2)
    wait_for_step(place / "two", 3)
    first[1].terminate()  # one of them gets the signal, both stop at the same step
    assert finish(*first) == [143, 143]
    assert 3 < max(losses(place / "two")) < 12
    assert finish(*pair(place / "two", *changes)) == [0, 0]
    one, two = losses(place / "one"), losses(place / "two")
    assert list(two) == list(range(1, 13))
    np.testing.assert_allclose([two[step] for step in one], [one[step] for step in one], rtol=1e-6)
    ours, theirs = read_params(place / "two")[1], read_params(place / "one")[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs)


SPIKES = ("optim__skip_spikes=6.0", "optim__spike_window=8", "objective__spikes=(9,13)")
ASTRAY = ("train__roll_back_after=3", "train__keep_latest=4", "objective__poison=(8,9,10)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "key", "counts", "roll_backs"),
    [(SPIKES, "train/skipped", {10: 1, 14: 1}, 0), (ASTRAY, "train/nonfinite", {9: 1, 10: 1, 11: 1}, 1)],
    ids=["skips", "goes back"],
)
def test_two_processes_skip_spikes_and_go_back_like_one(tmp_path, changes, key, counts, roll_backs):
    """Parameters are sharded over both, so a decision by only one of them would show in the checkpoints."""
    changes = (*changes, "train__steps=16", "train__checkpoint_every=4", "mesh__data=1", "mesh__fsdp=4")
    assert finish(spawn(tmp_path / "one", *changes)) == [0]
    assert finish(*pair(tmp_path / "two", *changes)) == [0, 0]
    for name in ("one", "two"):
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert {row["step"]: row[key] for row in rows if row.get(key)} == counts
        assert rows[-1]["train/roll_backs"] == roll_backs
    one, two = (np.array(list(losses(tmp_path / name).values()), float) for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-6)
    ours, theirs = read_params(tmp_path / "two")[1], read_params(tmp_path / "one")[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs)


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_with_one(tmp_path):
    changes = ("train__steps=6", "mesh__fsdp=2", "train__checkpoint_every=3")
    assert finish(*pair(tmp_path / "run", "train__steps=3", *changes[1:])) == [0, 0]
    assert finish(spawn(tmp_path / "run", *changes)) == [0]
    assert list(losses(tmp_path / "run")) == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_real_run_with_loader_workers_survives_a_kill_and_a_scheduler(tmp_path):
    def smoke(name):
        settings = {"train.steps": 16, "train.log_every": 1, "train.checkpoint_every": 2, "data.workers": 1}
        flags = [f"--config.{key}={value}" for key, value in settings.items()]
        config = f"--config={ROOT / 'configs' / 'videomae_k400.py'}:smoke"
        cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla")}
        return start(["-m", "vidjax.main", config, f"--workdir={tmp_path / name}", *flags], 1, cache)

    assert finish(smoke("whole")) == [0]
    for number, (step, code) in {signal.SIGKILL: (3, -signal.SIGKILL), signal.SIGTERM: (8, 143)}.items():
        process = smoke("stopped")
        wait_for_step(tmp_path / "stopped", step)
        os.killpg(process.pid, number)  # like a scheduler: the loader's workers get the signal too
        assert finish(process) == [code]
    assert finish(smoke("stopped")) == [0]
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
