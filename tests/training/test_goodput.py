"""Where the time of a run goes: in each start, over restarts, and in its report."""

import json
import time

import pytest
import toy

from vidjax.training import train
from vidjax.training.goodput import Goodput
from vidjax.viz.time_spent import Start, read_starts, time_blocks, totals


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it: `clock.now += seconds`."""

    class Clock:
        now = 100.0

    found = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    return found


def test_every_second_counts_towards_one_kind(tmp_path, clock):
    goodput = Goodput(tmp_path, 0, 95.0)  # 5 s ago
    clock.now += 3
    goodput.move("start", "compile", 2)
    goodput.turn_to("step")
    clock.now += 10
    goodput.move("step", "data", 4)
    with goodput.on("evaluate"):
        clock.now += 7
    with goodput.on("save"):
        clock.now += 1
    clock.now += 2
    found = {name.removeprefix("time/"): value for name, value in goodput.read().items()}
    assert found.pop("goodput") == pytest.approx(8 / 28)
    assert found == {"start": 6, "compile": 2, "step": 8, "data": 4, "evaluate": 7, "save": 1, "lost": 0}


def test_steps_after_the_last_checkpoint_of_a_start_that_was_killed_are_lost(tmp_path, clock):
    first = Goodput(tmp_path, 0, clock.now)
    first.turn_to("step")
    clock.now += 30
    first.move("step", "data", 6)
    first.saving(10)
    clock.now += 20  # written before the kill, without a close
    first.read()
    second = Goodput(tmp_path, 10, clock.now)
    second.turn_to("step")
    clock.now += 5
    found = second.read()
    assert found["time/lost"] == 20
    assert found["time/step"] + found["time/data"] == pytest.approx(35)
    assert sum(found[f"time/{kind}"] for kind in ("start", "step", "data", "lost")) == pytest.approx(55)


@pytest.mark.parametrize(
    ("step", "lost"),
    [(20, 5), (10, 15), (0, 25)],  # the last checkpoint; the one before it, if the last is damaged; none
)
def test_what_is_lost_depends_on_the_checkpoint_that_the_run_resumes_from(step, lost):
    start = Start(saved={"10": 10.0, "20": 20.0})
    start.seconds |= {"step": 24.0, "data": 1.0}
    start.lose_after(step)
    assert start.seconds["lost"] == pytest.approx(lost)
    assert start.trained == pytest.approx(25 - lost)
    start.lose_after(30)  # later starts have continued: what was lost stays lost, and nothing else is lost
    assert start.seconds["lost"] == pytest.approx(lost)


def test_a_run_that_goes_back_loses_the_steps_since(tmp_path, clock):
    goodput = Goodput(tmp_path, 0, clock.now)
    goodput.turn_to("step")
    for step in (10, 20):
        clock.now += 10
        goodput.saving(step)
    clock.now += 5
    with goodput.on("lost"):
        clock.now += 2
        goodput.went_back(10)
    clock.now += 3
    found = goodput.read()
    assert found["time/lost"] == pytest.approx(10 + 5 + 2)
    assert found["time/step"] == pytest.approx(10 + 3)


def test_a_damaged_file_is_replaced(tmp_path):
    for content in ("[{", '{"a": 1}', '[{"seconds": {}, "more": 1}]', "[1]"):
        (tmp_path / "goodput.json").write_text(content)
        assert read_starts(tmp_path) == []


def test_a_run_and_its_restart_say_where_their_time_went(tmp_path):
    since = time.monotonic()
    for steps in (4, 8):
        config = toy.toy_config(train__steps=steps)
        train(config, tmp_path, source=toy.ToySource(), objective=toy.ToyObjective(), make_batches=toy.ToyBatches)
    starts, found = read_starts(tmp_path), totals(read_starts(tmp_path))
    assert len(starts) == 2
    assert all(start.seconds[kind] > 0 for start in starts for kind in ("start", "compile", "step", "save"))
    assert 0 < sum(sum(start.seconds.values()) for start in starts) <= time.monotonic() - since
    assert found["lost"] == pytest.approx(0, abs=0.05)
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 < last["time/goodput"] < 1
    assert last["time/compile"] == pytest.approx(found["compile"])
    report = (tmp_path / "report.md").read_text()
    assert "## Where the time went" in report
    assert "2 starts; goodput" in report


def test_a_folder_without_a_record_of_time_has_no_section(tmp_path):
    assert time_blocks(tmp_path) == []
