"""Real processes of one run, one of which is killed, stopped, missing, or different from the others."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from videos import encode, moving_texture

HELPERS = pathlib.Path(__file__).parents[1] / "helpers"
ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 600  # two processes take 13 s of CPU to start: 97 s at a load of 25 on 2 cores
FAKED = (  # a program that sees another version of optax
    "import importlib.metadata as m, runpy, sys; real = m.version;"
    "m.version = lambda name: '9.9' if name == 'optax' else real(name);"
    "sys.argv = sys.argv[1:]; sys.path.insert(0, {helpers!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
)

STALLED = (  # a decoder that hangs on a video
    "import sys, time; from vidjax.data.clips import row_to_clips as r; real = r.LoadTrain._clips;"
    "r.LoadTrain._clips = lambda self, row, rng: time.sleep(600) if row.id.endswith('33') else real(self, row, rng);"
    "from vidjax.main import main; sys.exit(main())"
)


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def begin(number, port, *words, **environment):
    """Start process `number` of two."""
    environment |= {
        "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1", "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(number),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *map(str, words)], env=os.environ | environment, stderr=subprocess.PIPE, text=True
    )


def toy_run(workdir, *changes, seconds=0.0):
    return (HELPERS / "runner.py", workdir, seconds, *changes)


def both(of_first, of_second):
    port = free_port()
    return [begin(0, port, *of_first), begin(1, port, *of_second)]


def ends(*processes):
    """Exit codes, and the last line that each process printed."""
    try:
        words = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    print("\n---\n".join(words))
    return [process.returncode for process in processes], [text.strip().rpartition("\n")[2] for text in words]


def wait_for_step(workdir, step):
    deadline, path = time.monotonic() + TIMEOUT, workdir / "metrics.jsonl"
    while not path.exists() or f'"step": {step},' not in path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_another_seed_and_learning_rate_stop_both_before_the_first_step(tmp_path):
    codes, (first, second) = ends(
        *both(toy_run(tmp_path), toy_run(tmp_path, "seed=7", "optim__base_lr=0.5", "data__workers=3"))
    )
    assert codes == [2, 2]
    assert first == second
    host = socket.gethostname()
    assert f"seed is 0 on process 0 on {host} and 7 on process 1 on {host}" in first
    assert f"optim.base_lr is 0.16 on process 0 on {host} and 0.5 on process 1 on {host}" in first
    assert "workers" not in first
    assert not (tmp_path / "metrics.jsonl").exists()


def test_another_version_of_a_package_stops_both(tmp_path):
    faked = ("-c", FAKED.format(helpers=str(HELPERS)), *toy_run(tmp_path))
    codes, (first, second) = ends(*both(toy_run(tmp_path), faked))
    assert codes == [2, 2]
    assert first == second
    assert re.search(r"version of optax is \S+ on process 0 on \S+ and 9\.9 on process 1 on", first)


@pytest.mark.slow
def test_other_files_on_one_host_stop_both(tmp_path):
    for host, size in (("a", 48), ("b", 64)):
        for split, name in (("train", "x/1"), ("train", "y/2"), ("val", "x/3"), ("val", "y/4")):
            path = tmp_path / f"{host}/{split}/{name}.mp4"
            path.parent.mkdir(parents=True)
            path.write_bytes(encode(moving_texture(4, 48, size if name == "y/2" else 48)))

    def main(host):
        flags = {"data.name": "folder", "data.root": tmp_path / host, "data.global_batch": 2}
        words = [f"--config.{key}={value}" for key, value in flags.items()]
        return (
            "-m",
            "vidjax.main",
            f"--config={ROOT / 'configs/finetune.py'}:smoke",
            f"--workdir={tmp_path / 'run'}",
            *words,
        )

    codes, (first, second) = ends(*both(main("a"), main("b")))
    assert codes == [2, 2]
    assert first == second
    assert re.search(r"the video train/y/2\.mp4 is \d+ bytes \(\w+\) on process 0 on \S+ and \d+ bytes", first)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_process_that_is_killed_ends_the_other_in_a_sentence(tmp_path, lost):
    run = toy_run(tmp_path, "train__steps=2000", "train__checkpoint_every=3", "train__peer_seconds=4", seconds=0.1)
    processes = both(run, run)
    wait_for_step(tmp_path, 5)
    since = time.monotonic()
    processes[lost].kill()
    codes, lines = ends(*processes)
    assert codes[1 - lost] == 4
    assert codes[lost] == -signal.SIGKILL
    assert f"process {lost} on {socket.gethostname()}" in lines[1 - lost]
    assert time.monotonic() - since < 30
    goes_on = toy_run(tmp_path, "train__steps=8", "train__checkpoint_every=3")
    assert ends(*both(goes_on, goes_on))[0] == [0, 0]


@pytest.mark.slow
def test_a_process_that_hangs_is_named(tmp_path):
    run = toy_run(tmp_path, "train__steps=2000", "train__peer_seconds=4", seconds=0.1)
    processes = both(run, run)
    wait_for_step(tmp_path, 3)
    processes[0].send_signal(signal.SIGSTOP)  # not even the store of process 0 answers
    try:
        codes, (line,) = ends(processes[1])
    finally:
        processes[0].kill()
    assert codes == [4]
    assert re.search(r"process 0 on \S+ has given no sign of life for 4 s", line)


def test_a_coordinator_that_never_answers_is_named_in_time(tmp_path):
    port = free_port()
    since = time.monotonic()
    codes, (line,) = ends(begin(1, port, *toy_run(tmp_path, "train__start_seconds=1")))
    assert codes == [4]
    assert re.search(rf"process 1 on \S+ has waited 1 s for process 0, which does not answer at localhost:{port}", line)
    assert time.monotonic() - since < 60


def test_the_first_process_reports_one_that_never_joins(tmp_path):
    codes, (line,) = ends(begin(0, free_port(), *toy_run(tmp_path, "train__start_seconds=1")))
    assert codes == [4]
    assert re.search(r"process 0 on \S+ has waited 1 s at localhost:\d+ for the others: all 2 processes must", line)


@pytest.mark.slow
def test_a_mistake_of_one_process_ends_the_other(tmp_path):
    (tmp_path / "file").write_text("")
    processes = both(toy_run(tmp_path / "file"), toy_run(tmp_path / "run"))
    codes, lines = ends(*processes)
    assert codes == [2, 2]
    assert "file cannot be created" in lines[0]
    assert re.search(r"process 0 on \S+ has ended: workdir \S+file cannot be created", lines[1])


@pytest.mark.slow
def test_a_loader_that_stalls_ends_a_run_with_its_video_and_a_checkpoint(tmp_path):
    flags = {
        "data.name": "synthetic", "data.num_classes": 10, "data.workers": 0, "data.stall_seconds": 5,
        "data.global_batch": 2, "train.steps": 2000, "train.log_every": 1, "train.checkpoint_every": 1999,
        "train.eval_every": 0,
    }  # fmt: skip
    words = [f"--config.{key}={value}" for key, value in flags.items()]
    run = ("-c", STALLED, f"--config={ROOT / 'configs/pretrain.py'}:smoke", f"--workdir={tmp_path / 'run'}", *words)
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    codes, (line,) = ends(
        subprocess.Popen([sys.executable, *map(str, run)], env=environment, stderr=subprocess.PIPE, text=True)
    )
    assert codes == [4]
    said = r"no video has been decoded for 5 s \(data\.stall_seconds\); the loader is at synthetic/train/\d*33\."
    assert re.search(said, line)
    saved = [path.name for path in (tmp_path / "run/checkpoints").iterdir() if path.name.isdigit()]
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert saved == [str(last["step"])]
