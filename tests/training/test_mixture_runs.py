"""Runs on a mixture: counts per source, resuming to the bit, what is recorded, and what is refused."""

import json
import shutil
import types

import pytest
from videos import encode, moving_texture

from vidjax.cli import main as cli
from vidjax.config import SourceConfig
from vidjax.data import open_source
from vidjax.export import model_card
from vidjax.main import main, read_config
from vidjax.training.agreement import data_facts, run_facts

SMALL = ("--config.train.steps=6", "--config.train.log_every=2", "--config.train.checkpoint_every=3")
SMALL += ("--config.data.global_batch=8", "--config.optim.warmup_steps=1")
FIGURES = ("step", "train/loss", "train/grad_norm", "train/update_norm", "data/videos/calm", "data/videos/wild")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Nine and four videos, all for training."""
    root = tmp_path_factory.mktemp("folders")
    for name, count in (("calm", 9), ("wild", 4)):
        for number in range(count):
            path = root / name / f"{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode(moving_texture(20, 32, 32, seed=number + len(name) * count)))
    return root


def sources(folders, calm=0.25, wild=0.75):
    words = []
    for name, weight in (("calm", calm), ("wild", wild)):
        prefix = f"--config.data.mixture.{name}"
        words += [f"{prefix}.root={folders / name}", f"{prefix}.weight={weight}", f"{prefix}.split=all"]
    return words


def run(workdir, *words):
    experiment = ("--config=configs/videomae_k400.py:smoke", "--config.data.name=folder", f"--workdir={workdir}")
    return main(["vidjax", *experiment, *SMALL, *words])


def lines(workdir):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{key: row[key] for key in FIGURES} for row in rows if "train/loss" in row]


@pytest.fixture(scope="module")
def whole(folders, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    assert run(workdir, *sources(folders)) == 0
    return workdir


def test_the_log_counts_the_videos_of_each_source(whole, folders):
    assert [(row["step"], row["data/videos/calm"], row["data/videos/wild"]) for row in lines(whole)] == [
        (2, 4, 12), (4, 4, 12), (6, 4, 12)
    ]  # fmt: skip
    kept = json.loads((whole / "data.json").read_text())
    assert kept["train"]["videos"] == 13
    found = {name: [about[key] for key in ("videos", "weight", "share")] for name, about in kept["mixture"].items()}
    assert found == {"calm": [9, 0.25, 0.25], "wild": [4, 0.75, 0.75]}
    assert "a mixture (calm 0.25, wild 0.75), 13 training videos" in (whole / "report.md").read_text()


def test_a_run_cut_off_in_an_epoch_resumes_to_the_bit(whole, folders, tmp_path):
    """Step 3 is 24 videos, into the second epoch of 13."""
    cut = shutil.copytree(whole, tmp_path / "cut")
    shutil.rmtree(cut / "checkpoints" / "6")
    (cut / "results.json").unlink()
    rows = [json.loads(line) for line in (cut / "metrics.jsonl").read_text().splitlines()]
    (cut / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows if row["step"] <= 3))
    assert run(cut, *sources(folders)) == 0
    assert [row["step"] for row in lines(cut)] == [2, 4, 6]
    assert lines(cut)[-1] == lines(whole)[-1]


def test_another_weight_or_other_videos_are_refused_by_name(whole, folders, tmp_path, capsys):
    assert run(whole, *sources(folders, calm=0.5)) == 2
    assert "data.mixture.calm.weight was 0.25, is now 0.5: this is not the experiment" in capsys.readouterr().err
    fewer = shutil.copytree(folders, tmp_path / "fewer")
    (fewer / "wild" / "0.mp4").unlink()
    assert run(whole, *sources(fewer)) == 2
    said = capsys.readouterr().err
    assert "the training videos are not those of the run" in said
    assert "number of videos was 13, is now 12 (in wild of data.mixture)" in said
    moved = shutil.copytree(folders, tmp_path / "moved")
    assert run(whole, *sources(moved)) == 0  # only the folder has another name


def test_a_model_card_names_the_sources(folders):
    config = read_config(["--config=videomae_k400:smoke", *sources(folders), "--config.data.mixture.calm.name=ssv2"])
    said = model_card._data(types.SimpleNamespace(config=config))
    assert "Trained on a mixture of calm (`ssv2`, 0.25), wild (`folder`, 0.75) for the task" in said


def test_hosts_compare_each_source(folders, tmp_path):
    config = read_config(["--config=videomae_k400:smoke", *sources(folders)])
    source = open_source(config.data, "train", "")
    facts = data_facts({"training": source})
    assert facts["the number of training (calm) videos"] == 9
    assert facts["the number of training (wild) videos"] == 4
    assert sum(name.startswith("the video ") for name in facts) > 8
    moved = shutil.copytree(folders, tmp_path / "moved")
    there = read_config(["--config=videomae_k400:smoke", *sources(moved)])
    assert run_facts(config) == run_facts(there)
    assert data_facts({"training": open_source(there.data, "train", "")}) == facts
    other = run_facts(read_config(["--config=videomae_k400:smoke", *sources(folders, calm=1)]))
    assert {key for key, value in run_facts(config).items() if other[key] != value} == {"data.mixture.calm.weight"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--config.data.mixture.calm.weight=-1",), "config.data.mixture.calm.weight=-1.0 must be at least 0"),
        (("--config.data.mixture.calm.weight=lots",), "config.data.mixture.calm.weight='lots' must be a number"),
        (("--config.data.mixture.calm.rot=x",), "did you mean config.data.mixture.calm.root?"),
        (("--config.data.mixture.calm=x",), "is not a key of a source; a mixture is given as"),
        (("--config.data.mixture=(1,2)",), "is not a key of a source; a mixture is given as"),
        (
            ("--config.data.mixture.calm.root=x", "--config.data.mixture.calm.root=y"),
            "config.data.mixture.calm.root is set twice, to x and y; give every source its own name",
        ),
        (
            ("--config.data.mixture.calm.weight=0", "--config.data.mixture.wild.weight=0"),
            "the weights of data.mixture (calm, wild) are all 0",
        ),
        (
            ("--config.data.mixture.calm.root=here", "--config.data.mixture.wild.root=here"),
            "data.mixture.calm and data.mixture.wild are the same videos, here",
        ),
        (("--config.data.mixture.calm.name=ssv3",), "config.data.mixture.calm.name='ssv3' is unknown"),
        (
            ("--config.data.mixture.calm.name=charades", "--config.task=multi_label"),
            "data.mixture is for tasks that learn from videos alone or from one class per video",
        ),
        (
            ("--config.data.mixture.calm.name=charades", "--config.task=classification"),
            "data.mixture.calm: data.mixture.calm.name=charades has intervals or captions instead of one class",
        ),
        (("--config.data.mixture.calm.root=/nowhere",), "data.mixture.calm.root=/nowhere is not a folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(words, message, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert run(workdir, *words) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert said.startswith("vidjax: ")
    assert len(said.splitlines()) == 1
    assert not workdir.exists() or not any(workdir.iterdir())


def test_keys_of_sources_are_read_from_the_command_line_and_the_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from vidjax import config as config_lib\n"
        "def get_config(arg=None):\n"
        "    config = config_lib.defaults()\n"
        "    config.data.mixture = {'howto': {'weight': 0.565}, 'ssv2': {'name': 'ssv2', 'weight': 0.1}}\n"
        "    return config\n"
    )
    words = ["--config.data.mixture.howto.root=2024", "--config.data.mixture.mine.root", "videos"]
    config = read_config([f"--config={tmp_path}/mine.py", *words])
    assert config.data.mixture == {
        "howto": SourceConfig(0.565, root="2024"),
        "ssv2": SourceConfig(0.1, name="ssv2"),
        "mine": SourceConfig(1.0, root="videos"),
    }


def test_check_tells_shares_and_faults_of_each_source(folders, tmp_path, capsys):
    asked = ["check", "--config=videomae_k400:smoke", *sources(folders)]
    assert cli([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["complete"], found["videos"]) == (True, 13)
    calm, wild = found["sources"]
    assert [calm[key] for key in ("name", "data", "share", "listed")] == ["calm", "folder", 0.25, 9]
    assert wild["times_per_epoch"] == pytest.approx(0.75 * 13 / 4)
    assert cli(asked) == 0
    shown = capsys.readouterr().out
    assert "an epoch has 13 videos\nnothing is missing" in shown
    broken = shutil.copytree(folders, tmp_path / "broken")
    (broken / "wild" / "0.mp4").write_bytes(b"")
    assert cli(["check", "--config=videomae_k400:smoke", *sources(broken)]) == 1
    assert "wild: 1 video cannot be read: 1 empty" in capsys.readouterr().out
    assert cli(["check", "--config=videomae_k400:smoke"]) == 2
    assert "has no data.mixture; check its videos with `vidjax check DIR`" in capsys.readouterr().err
    assert cli([*asked, "--charts", "x"]) == 2
    assert "--charts and --config exclude each other" in capsys.readouterr().err
