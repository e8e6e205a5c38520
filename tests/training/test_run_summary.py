"""Summaries of runs from the files in their folders, for every way in which a run may have ended."""

import json
import os
import shutil
import signal
import socket
import time

import pytest
import toy
from holder import hold
from toy_runs import StoppingBatches, run

from vidjax.errors import TrainingError
from vidjax.training.run_summary import find_runs, summarise_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    run(workdir)
    return workdir


@pytest.fixture
def copied(finished, tmp_path):
    """A finished run to be damaged."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def rows_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_without_recorded_time_has_unknown_hours_rather_than_zero(copied):
    (copied / "goodput.json").unlink()
    assert summarise_run(copied).hours is None


def test_a_finished_run(finished):
    summary = summarise_run(finished)
    losses = [(row["train/loss"], row["step"]) for row in rows_of(finished) if "train/loss" in row]
    assert (summary.state, summary.step, summary.total) == ("finished", 8, 8)
    assert (summary.task, summary.metric) == ("toy:TASK", "train/loss")
    assert summary.value == losses[-1][0]
    assert summary.best == min(losses)
    assert summary.notes == ()
    seconds = sum(sum(start["seconds"].values()) for start in json.loads((finished / "goodput.json").read_text()))
    assert summary.hours == pytest.approx(seconds / 3600)
    assert summary.config["optim.base_lr"] == 0.16


def test_a_run_stopped_by_a_signal_names_it(tmp_path):
    with pytest.raises(SystemExit):
        run(tmp_path, batches=type("Interrupted", (StoppingBatches,), {"signal": signal.SIGINT}))
    summary = summarise_run(tmp_path)
    assert summary.state == f"stopped at step {summary.step}: SIGINT"
    assert 4 <= summary.step < summary.total == 8


def test_a_run_ended_by_an_error_names_it(tmp_path):
    with pytest.raises(TrainingError) as ended:
        run(tmp_path, objective=toy.ToyObjective(poison=tuple(range(3, 8))), train__max_nonfinite=3)
    state = summarise_run(tmp_path).state
    assert state.startswith("stopped at step ")
    assert state.endswith(f": {ended.value}")
    assert str(ended.value) in (tmp_path / "report.md").read_text()


def test_a_killed_run_is_recognised(copied):
    lines = (copied / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copied / "history.jsonl").unlink()
    (copied / "metrics.jsonl").write_text("".join(lines[:5]))
    for step in (copied / "checkpoints").iterdir():
        if step.name == "8":
            step.rename(copied / "gone")
    assert summarise_run(copied).state == f"killed after step {json.loads(lines[4])['step']}"


def test_a_finished_run_that_was_asked_for_more_and_killed_is_not_finished(copied):
    with (copied / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "train/loss": 1.0}\n')
    assert summarise_run(copied).state == "killed after step 12"


def test_a_run_that_trains_now_is_distinguished_from_one_whose_process_is_dead(copied):
    trains = hold(copied)
    try:
        assert trains.stdout.readline() == "held\n"
        assert summarise_run(copied).state.startswith(f"running: process {trains.pid} on {socket.gethostname()} since")
    finally:
        trains.kill()
        trains.wait()
    assert (copied / ".lock").exists()  # as after a kill -9
    assert summarise_run(copied).state == "finished"


@pytest.mark.parametrize(("age", "state"), [(10, "running"), (3600, "finished")])
def test_a_run_of_another_host_counts_as_running_while_it_writes(copied, age, state):
    (copied / ".lock").write_text("process 7 on another-host since 2026-01-01 00:00:00")
    for name in (".lock", "metrics.jsonl", "goodput.json"):
        os.utime(copied / name, (time.time() - age, time.time() - age))
    assert summarise_run(copied).state.split(":")[0] == state


FILES = ("config.json", "results.json", "goodput.json", "history.jsonl", "metrics.jsonl", "data.json")


@pytest.mark.parametrize("name", FILES)
def test_no_damaged_file_keeps_a_run_from_being_summarised(copied, name):
    for content in (b"", b"[1]", b"{", b"\xff\xfe", b'{"step": "x"}\n[]\n', b"null", b'{"a": {"b": [1]}}'):
        (copied / name).write_bytes(content)
        summary = summarise_run(copied)
        assert summary.step == 8
        assert summary.state != "unknown", summary.notes
        if name == "config.json" and content != b'{"a": {"b": [1]}}':
            assert summary.notes == ("config.json is damaged",)


def test_a_task_of_another_file_is_not_imported(copied, monkeypatch):
    tree = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(tree | {"task": "of_a_stranger:TASK"}))
    with (copied / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "val/right": 0.5}\n')
    summary = summarise_run(copied)
    assert (summary.metric, summary.value, summary.best) == ("right", 0.5, (0.5, 8))
    assert summary.notes == ()


def test_numbered_runs_are_in_numerical_order(tmp_path):
    names = ["run_2", "run_10", "run_10b", "x"]
    for name in names[::-1]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").touch()
    assert [run.name for run in find_runs(tmp_path)] == names


def test_runs_are_found_at_any_depth_and_other_folders_are_not(finished, tmp_path):
    model = tmp_path / "of_transformers"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "run").symlink_to(finished)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "metrics.jsonl").write_text('{"step": 3, "train/loss": 1.0}\n{"step": 4, "tra')
    assert find_runs(tmp_path) == [tmp_path / "a" / "b" / "run", tmp_path / "half"]
    assert find_runs(finished) == [finished]
    half = summarise_run(tmp_path / "half")
    assert (half.step, half.state, half.notes) == (3, "killed after step 3", ("config.json is missing",))


def test_a_run_that_cannot_be_read_has_unknown_hours_rather_than_zero(copied, monkeypatch):
    def fail(folder):
        raise OSError("the connection was lost")

    monkeypatch.setattr("vidjax.training.run_summary.read_starts", fail)
    summary = summarise_run(copied)
    assert (summary.state, summary.hours) == ("unknown", None)
    assert summary.notes == ("it cannot be read: the connection was lost",)
