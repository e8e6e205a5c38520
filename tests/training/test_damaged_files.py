"""Damaged small files of a run: one sentence, the file set aside or rebuilt, and the run continues."""

import functools
import json
import math

import pytest
import toy

from vidjax.errors import DataError
from vidjax.files import read_json_lines
from vidjax.training import loop
from vidjax.training.checkpoints import Checkpoints
from vidjax.viz.curves import read_metric
from vidjax.weights.checkpoint_scores import best_step, read_scores, why_chosen
from vidjax.weights.run_files import check_labels, read_labels

DAMAGED = [b"", b"{", b"[1]", b'{"2": "\xff"}', b'{"two": 1}', b"\x00\x00"]


def run(workdir, steps, **broken):
    return loop.train(
        toy.toy_config(train__steps=steps), workdir, source=toy.ToySource(), objective=toy.ToyObjective(),
        make_batches=functools.partial(toy.ToyBatches, **broken),
    )  # fmt: skip


@pytest.fixture
def validated(tmp_path):
    """The small files of a classifier's run that was validated at steps 2, 4 and 6."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text('{"task": "classification"}')
    lines = [{"step": 2, "val/top1": 0.5}, {"step": 3, "train/loss": 1.0}, {"step": 4, "val/top1": 0.75}]
    lines += [{"step": 6, "val/top1": 0.25}, {"step": 6, "eval/top1": 0.9}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({5: math.nan, 10: 0.9}, 10),
        ({5: 0.9, 10: math.nan}, 5),
        ({5: None, 10: 0.9}, 10),
        ({5: math.inf, 10: 0.9}, 10),
        ({5: 0.9, 10: 0.9}, 10),
        ({5: math.nan, 10: None}, None),
        ({}, None),
    ],
)
def test_the_best_step_is_the_one_with_the_highest_finite_score(scores, best):
    assert best_step([5, 10], scores) == best


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_scores_are_set_aside_and_taken_from_the_metrics(validated, content):
    path, said = validated / "checkpoints" / "scores.json", []
    path.write_bytes(content)
    assert read_scores(path.parent) == {2: 0.5, 4: 0.75, 6: 0.25}
    checkpoints = Checkpoints(validated)
    checkpoints.mend_scores(said.append)
    checkpoints.mend_scores(said.append)
    checkpoints.close()
    assert json.loads(path.read_text()) == {"2": 0.5, "4": 0.75, "6": 0.25}
    assert path.with_name("scores.json.damaged").read_bytes() == content
    assert len(said) == 1
    assert "scores.json was damaged; set aside as scores.json.damaged" in said[0]


def test_a_run_whose_scores_are_lost_says_that_its_last_checkpoint_is_used(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "scores.json").write_text("")
    assert why_chosen(tmp_path, 8, "best") == ", the last, since scores.json is damaged"


def test_a_bad_byte_in_the_metrics_costs_only_its_line(tmp_path, capsys):
    run(tmp_path, 4)
    path = tmp_path / "metrics.jsonl"
    damaged = path.read_bytes().replace(b'"step": 2', b'"step\xff: 2') + b'{"step": 5, "train/lo'
    path.write_bytes(damaged)
    assert read_metric(path, "train/loss")[0].tolist() == [1, 3, 4]
    run(tmp_path, 6)
    assert [line["step"] for line in map(json.loads, path.read_text().splitlines())] == [1, 3, 4, 5, 6]
    assert path.with_name("metrics.jsonl.damaged").read_bytes() == damaged
    assert "1 of 4 lines of" in capsys.readouterr().err


def test_a_bad_byte_in_the_quarantine_costs_only_its_line(tmp_path, capsys):
    run(tmp_path, 4, broken=(3, 17))
    path = tmp_path / "quarantine.jsonl"
    path.write_bytes(path.read_bytes().replace(b"video 3", b"video \xff") + b'{"step": 4, "id"')
    run(tmp_path, 8, broken=(3, 17))
    found = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert found == ["video 17", "video 3"]
    assert "quarantine.jsonl.damaged" in capsys.readouterr().err


def test_a_line_that_a_kill_has_cut_does_not_spoil_the_next_one(tmp_path):
    run(tmp_path, 4, broken=(3,))
    path = tmp_path / "quarantine.jsonl"
    with path.open("a") as file:
        file.write('{"step": 4, "id"')
    run(tmp_path, 8, broken=(3, 17))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["video 3", "video 17"]
    assert not path.with_name("quarantine.jsonl.damaged").exists()


def test_damaged_results_of_a_finished_run_are_made_again(tmp_path):
    whole = run(tmp_path, 4)
    (tmp_path / "results.json").write_bytes(b'{"train/steps": 4')
    (tmp_path / "data.json").write_bytes(b"\xff")
    assert run(tmp_path, 4)["train/steps"] == 4
    assert json.loads((tmp_path / "results.json").read_text()).keys() <= whole.keys()


@pytest.mark.parametrize("content", [b'["a", "b', b"", b'{"0": "a"}', b"[0, 1]", b'["\xff"]'])
def test_damaged_class_names_are_refused_with_the_remedy(tmp_path, content):
    (tmp_path / "labels.json").write_bytes(content)
    for use in (lambda: read_labels(tmp_path), lambda: check_labels(tmp_path, ("a",))):
        with pytest.raises(DataError, match=r"labels\.json is damaged: start the run again to rewrite it"):
            use()


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"step": "1"}', b'{"other": 1}', b"\xff", b"NaN", b'{"step": null}', b""]
)
def test_a_line_without_a_required_value_is_counted_and_left_out(tmp_path, line):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    assert read_json_lines(path, step=int) == ([{"step": 1}, {"step": 2}], 1, False)
