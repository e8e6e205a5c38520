"""`vidjax runs`: a row for every run, whatever its state, and a page that compares them."""

import base64
import io
import json

import pytest
from pages import check_stands_alone
from PIL import Image

from vidjax.cli import main
from vidjax.config import Config, to_saved
from vidjax.config.changes import with_keys

NASTY = '<img src=x onerror="alert(1)"> $a_$'


def make_run(folder, top1, steps=40, done=40, **keys):
    """Write a classification run by hand, as training leaves it."""
    folder.mkdir(parents=True)
    config = with_keys(Config(), {"task": "classification", "train.steps": steps, **keys})
    (folder / "config.json").write_text(json.dumps(to_saved(config)))
    rows = [{"step": step, "train/loss": 2 / step, "train/lr": 0.1} for step in range(1, done + 1)]
    rows += [{"step": done // 2, "val/top1": top1 + 0.1}, {"step": done, "val/top1": top1}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    act = f"trained to step {done} of {steps}" if done == steps else f"stopped at step {done} of {steps}"
    made = {"act": act, "command": "", "when": "", "machine": "", "why": "" if done == steps else "SIGTERM"}
    (folder / "history.jsonl").write_text(json.dumps(made) + "\n")
    (folder / "goodput.json").write_text(json.dumps([{"seconds": {"step": 3000.0, "data": 600.0}, "saved": {}}]))
    return folder


@pytest.fixture
def runs(tmp_path):
    make_run(tmp_path / "runs" / "one", 0.5)
    make_run(tmp_path / "runs" / NASTY, 0.625, done=30, **{"optim.base_lr": 0.25, "data.root": "</td><b>"})
    (tmp_path / "runs" / "deep" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "deep" / "broken" / "metrics.jsonl").write_text('{"step": 3, "train/loss": 1.5}\ngarbage\n')
    return tmp_path / "runs"


def test_json_has_an_object_per_run(runs, capsys):
    assert main(["runs", str(runs), "--json"]) == 0
    found = {line["run"]: line for line in json.loads(capsys.readouterr().out)}
    assert list(found) == sorted(found, key=lambda name: name.split("/"))
    one, stopped, broken = found["one"], found[NASTY], found["deep/broken"]
    assert (one["task"], one["model"], one["figure"]) == ("classification", "videomae_base", "top1")
    assert (one["value"], one["best"], one["best_step"], one["hours"]) == (0.5, 0.6, 20, 1.0)
    assert (one["step"], one["total"], one["state"], one["notes"]) == (40, 40, "finished", [])
    assert (stopped["step"], stopped["total"], stopped["state"]) == (30, 40, "stopped at step 30: SIGTERM")
    assert broken["notes"] == ["config.json is missing", "1 of 2 lines of metrics.jsonl are damaged"]
    assert (broken["value"], broken["state"]) == (1.5, "killed after step 3")


def test_the_table_has_a_line_per_run_and_a_message_per_problem(runs, capsys):
    assert main(["runs", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    [one] = [line for line in lines if line.split()[:1] == ["one"]]
    assert one.split() == [
        "one", "classification", "videomae_base", "40/40", "top1", "0.5", "0.6", "at", "20", "1:00:00", "finished"
    ]  # fmt: skip
    assert "deep/broken: config.json is missing" in lines
    assert f"{NASTY}: stopped at step 30: SIGTERM" in lines


def test_the_page_stands_alone_with_curves_and_the_settings_that_differ(runs, tmp_path, capsys):
    assert main(["runs", str(runs), "--out", str(tmp_path / "new" / "page.html")]) == 0
    page = check_stands_alone(tmp_path / "new" / "page.html")
    assert NASTY in page.text
    assert '"</td><b>"' in page.text
    pictures = [attributes["src"].partition(",")[2] for attributes in page.named("img")]
    sizes = [Image.open(io.BytesIO(base64.b64decode(content))).size for content in pictures]
    assert len(sizes) == 1  # of classification; the broken run has one value, which is no curve
    text = (tmp_path / "new" / "page.html").read_text()
    differing = text[text.index("Settings that differ</h2>") :]
    assert "optim.base_lr" in differing
    assert "0.25" in differing
    assert "optim.min_lr" not in differing


def test_a_name_is_as_short_as_it_can_be_and_tells_runs_of_two_folders_apart(tmp_path, capsys):
    for place in ("a/seed0/run", "b/seed0/run"):
        make_run(tmp_path / place, 0.5)
    assert main(["runs", str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a" / "seed0"), "--json"]) == 0
    assert [line["run"] for line in json.loads(capsys.readouterr().out)] == ["a/seed0/run", "b/seed0/run"]
    assert main(["runs", str(tmp_path / "a"), "--json"]) == 0
    assert [line["run"] for line in json.loads(capsys.readouterr().out)] == ["run"]


def test_runs_in_a_bucket_are_listed_and_compared(tmp_path, capsys, monkeypatch):
    from bucket import emulated

    from vidjax.files import copy_tree, located

    make_run(tmp_path / "run", 0.5)
    with emulated() as address:
        for name in ("a", "b"):
            copy_tree(tmp_path / "run", located(address) / "runs" / name)
        assert main(["runs", f"{address}/runs", "--out", f"{address}/page.html", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [(line["run"], line["state"], line["value"]) for line in found] == [
            ("a", "finished", 0.5), ("b", "finished", 0.5)
        ]  # fmt: skip
        (tmp_path / "page.html").write_bytes((located(address) / "page.html").read_bytes())
    assert len(check_stands_alone(tmp_path / "page.html").named("img")) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runs", "{}/rnus"], "there is no folder {0}/rnus; did you mean {0}/runs?"),
        (["runs", "{}/empty"], "there is no run in {}/empty; give the --workdir of a run"),
        (["runs", "{0}/empty", "{0}/empty"], "there is no run in {0}/empty, {0}/empty; give the --workdir of a run"),
        (["runs", "{}/runs", "--out", "page.png"], "--out=page.png must be a page"),
        (["runs", "{}/runs", "--out", "{}/folder.html"], "--out={}/folder.html is a folder"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, words, sentence, capsys):
    make_run(tmp_path / "runs" / "one", 0.5)
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.html").mkdir()
    assert main([word.format(tmp_path) for word in words]) == 2
    assert capsys.readouterr().err.startswith(f"vidjax: {sentence.format(tmp_path)}")
