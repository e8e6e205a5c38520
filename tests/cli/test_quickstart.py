"""`vidjax quickstart` compares two classifiers fairly, with real training."""

import dataclasses
import json
import sys

import pytest

from vidjax.cli import main, parse
from vidjax.cli.verbs import quickstart
from vidjax.main import read_flags
from vidjax.training import loop
from vidjax.viz import report


def test_the_two_classifiers_differ_in_where_they_start_and_in_what_suits_that(tmp_path, monkeypatch, capsys):
    runs, scores = {}, iter([{}, {"eval/top1": 0.9, "eval/top5": 1.0}, {"eval/top1": 0.4, "eval/top5": 0.8}] * 2)

    def train(config, workdir):
        runs[str(workdir.relative_to(tmp_path))] = config
        return next(scores)

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(report, "write_comparison", lambda workdir, *_: workdir / "report.md")
    assert main(["quickstart", "--workdir", str(tmp_path), "--seeds", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    ways = [f"seed{seed}/{name}" for seed in (0, 1) for name in ("pretrain", "finetune", "scratch")]
    assert list(runs) == ways
    for seed in (0, 1):
        pretrain, tuned, scratch = (runs[f"seed{seed}/{name}"] for name in ("pretrain", "finetune", "scratch"))
        assert (pretrain.task, tuned.task) == ("masked_autoencoding", "classification")
        assert tuned.init_from == str(tmp_path / f"seed{seed}" / "pretrain")
        assert tuned.data.eval_split == scratch.data.eval_split == "test"
        optim = dataclasses.replace(tuned.optim, base_lr=scratch.optim.base_lr)
        model = dataclasses.replace(tuned.model, spec={**tuned.model.spec, "init_std": scratch.model.spec["init_std"]})
        assert dataclasses.replace(tuned, init_from="", optim=optim, model=model) == scratch
        assert pretrain.seed == tuned.seed == seed
    top1 = [(row["seed"], row["start"], row["top1"]) for row in answer["rows"]]
    starts = [(seed, start, score) for seed in (0, 1) for start, score in (("pre-trained", 0.9), ("from scratch", 0.4))]
    assert top1 == [*starts, (None, "chance", 0.125)]


def test_no_seed_is_refused(capsys):
    assert main(["quickstart", "--seeds", "0"]) == 2
    assert "--seeds=0 must be at least 1" in capsys.readouterr().err


def test_it_ends_with_three_commands_that_can_be_given(tmp_path, monkeypatch, capsys):
    scores = iter([{}, {"eval/top1": 0.9, "eval/top5": 1.0}, {"eval/top1": 0.4, "eval/top5": 0.8}])
    monkeypatch.setattr(loop, "train", lambda config, workdir: next(scores))
    monkeypatch.setattr(report, "write_comparison", lambda workdir, *_: workdir / "report.md")
    assert main(["quickstart", "--workdir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    demo, own, public = (line.split("  ")[-1].split() for line in said.splitlines()[-3:])
    verbs = [words[words.index(verb) :] for words, verb in ((demo, "demo"), (public, "predict"))]
    for words in verbs:
        assert parse(words).verb == words[0]
    assert parse(verbs[0]).model == [str(tmp_path / "seed0" / "finetune")]
    config, flags = read_flags(own[own.index("vidjax.main") :])
    assert (config.task, config.data.root, flags.workdir) == ("classification", "DIR", "runs/mine")
    assert str(tmp_path / "report.html") in said.replace("\n", "")


@pytest.mark.parametrize("installed", [True, False])
def test_without_gradio_it_says_how_the_page_gets_it(tmp_path, monkeypatch, capsys, installed):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if installed else None)
    quickstart._print_next(tmp_path / "finetune")
    assert ("the page needs gradio: " in capsys.readouterr().out) != installed


def test_a_vidjax_of_another_environment_is_not_named(tmp_path, monkeypatch, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "vidjax").touch(0o755)
    monkeypatch.setenv("PATH", str(other))
    quickstart._print_next(tmp_path / "finetune")
    demo = capsys.readouterr().out.splitlines()[-3]
    assert " -m vidjax.cli demo" in demo


@pytest.mark.parametrize("active", [True, False])
def test_its_commands_name_python_shortly_where_the_environment_is_active(tmp_path, monkeypatch, capsys, active):
    """Scripts of an environment run on its `python3`, which its `python` is too."""
    folder = tmp_path / "env" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "python3"):
        (folder / name).touch(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python3"))
    monkeypatch.setenv("PATH", str(folder if active else tmp_path))
    monkeypatch.chdir(tmp_path)
    quickstart._print_next(tmp_path / "finetune")
    own = capsys.readouterr().out.splitlines()[-2].split("  ")[-1].strip()
    assert own.startswith(f"{'python' if active else 'env/bin/python3'} -m vidjax.main --config=finetune")


@pytest.mark.slow
def test_a_smoke_quickstart_ends_with_a_table_and_a_report_with_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["quickstart", "--smoke"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("pre-trained", "from scratch", "chance", "runs/quickstart/report.html"))
    written = (tmp_path / "runs/quickstart/report.md").read_text()
    assert "seed0/pretrain/pictures/reconstruction.png" in written
    assert (tmp_path / "runs/quickstart/seed0/pretrain/pictures/reconstruction.png").is_file()
