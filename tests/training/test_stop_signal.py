"""Real processes that are stopped while the main thread is stuck."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from vidjax.training.stop_signal import Interrupted, StopSignal

PROGRAM = """
import ctypes, multiprocessing, os, sys, time
from vidjax.training.stop_signal import StopSignal, stoppable

def wait_in_c(seconds):
    "Like a compilation of XLA: Python's lock is released, its handlers do not run, and no signal ends it."
    mutex = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
    until = (ctypes.c_long * 2)(*divmod(time.time_ns() + seconds * 10**9, 10**9))
    ctypes.CDLL(None).pthread_mutex_timedlock(mutex, until)

def in_c():
    print("ready", flush=True)
    wait_in_c(3600)

def in_a_notebook(seconds):
    sys.modules["ipykernel"] = None
    try:
        with stoppable(program=False):
            print("ready", flush=True)
            wait_in_c(seconds)
    except SystemExit as stopped:
        print("variables live on", stopped.code, flush=True)

def in_python():
    print("ready", flush=True)
    time.sleep(60)

def in_a_worker_that_ignores_signals(event):
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    event.set()
    time.sleep(60)

def with_a_worker():
    spawned = multiprocessing.get_context("spawn")
    event = spawned.Event()
    worker = spawned.Process(target=in_a_worker_that_ignores_signals, args=(event,), daemon=True)
    worker.start()
    event.wait()
    print(worker.pid, flush=True)
    in_c()

def saving(seconds):
    stop = StopSignal(lambda: "saved")
    with stop:
        stop.unsaved = True
        stop.last_words = lambda: print("report", flush=True)
        print("ready", flush=True)
        while not stop.signal:
            time.sleep(0.01)
        wait_in_c(seconds)
        stop.unsaved = False
        raise SystemExit(128 + stop.signal)

if __name__ == "__main__":
    with stoppable(program=True, sentence="stopped, nothing to save"):
        eval(sys.argv[1])
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    started = []

    def start(call):
        process = subprocess.Popen(
            [sys.executable, path, call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ready(process):
    """Read lines until the process is ready."""
    lines = []
    while (line := process.stdout.readline().strip()) != "ready":
        assert line, process.communicate()
        lines.append(line)
    time.sleep(0.3)  # until it is stuck
    return lines


def stop(process, number):
    """Its output, its standard error, its exit code and the seconds that it took."""
    since = time.monotonic()
    process.send_signal(number)
    out, words = process.communicate(timeout=30)
    assert "Traceback" not in words
    assert "resource_tracker" not in words
    return out, words, process.returncode, time.monotonic() - since


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("call", ["in_c()", "in_python()"])
def test_a_process_with_nothing_to_save_ends_within_five_seconds(program, call, number):
    process = program(call)
    ready(process)
    _, words, code, seconds = stop(process, number)
    assert (words, code) == ("stopped, nothing to save\n", 128 + number)
    assert seconds < 5


def test_a_worker_that_ignores_signals_ends_with_it(program):
    process = program("with_a_worker()")
    (worker,) = map(int, ready(process))
    _, _, code, seconds = stop(process, signal.SIGINT)
    assert code == 130
    assert seconds < 5
    assert not pathlib.Path(f"/proc/{worker}").exists()


def test_unsaved_work_is_saved_first_however_long_it_takes(program):
    process = program("saving(4)")
    ready(process)
    out, words, code, seconds = stop(process, signal.SIGTERM)
    assert (out, code) == ("report\n", 143)
    assert words.splitlines() == [
        "stopping after this step is finished and saved; press Ctrl-C again to stop at once", "saved"
    ]  # fmt: skip
    assert seconds >= 4


def test_a_second_signal_ends_at_once(program):
    process = program("saving(60)")
    ready(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("stopping after this step ")
    out, _, code, seconds = stop(process, signal.SIGINT)
    assert (out, code) == ("", 130)
    assert seconds < 5


def test_an_interrupted_notebook_keeps_its_process(program):
    """XLA compiles for longer than the listening thread waits; then the cell ends, but the kernel does not."""
    process = program("in_a_notebook(6)")
    ready(process)
    out, _, code, seconds = stop(process, signal.SIGINT)
    assert (out, code) == ("variables live on 130\n", 0)
    assert seconds > 3


def test_a_signal_that_came_before_a_wait_ends_it_too():
    with StopSignal() as heard:
        heard.unsaved = True
        os.kill(os.getpid(), signal.SIGINT)
        assert heard.signal == signal.SIGINT
        with pytest.raises(Interrupted), heard.interrupts():
            pytest.fail("waited")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0, 8.0])
def test_a_run_that_has_only_begun_ends_without_a_trace(tmp_path, seconds):
    """Whatever it is importing, opening or compiling; loader workers get the signal too, as from a terminal."""
    root = pathlib.Path(__file__).parents[2]
    config = f"--config={root / 'configs' / 'videomae_k400.py'}:smoke"
    process = subprocess.Popen(
        [sys.executable, "-m", "vidjax.main", config, f"--workdir={tmp_path}", "--config.data.workers=2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    time.sleep(seconds)
    since = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - since < 5
    assert "Traceback" not in words
    assert "leaked" not in words
