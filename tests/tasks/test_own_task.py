"""A task in a user's own module: CONTRIBUTING's example, unchanged, is trained, scored, reported and read back."""

import json
import pathlib
import re
import sys

import numpy as np
import pytest
import saved_runs
import videos

import vidjax
from vidjax.cli import main
from vidjax.data.sources import synthetic
from vidjax.errors import ConfigError
from vidjax.tasks import TASKS
from vidjax.training import evaluate, train

CONTRIBUTING = pathlib.Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture(scope="module", autouse=True)
def rating(tmp_path_factory):
    """The module of CONTRIBUTING in a folder on the path."""
    section = re.split(r"^## ", CONTRIBUTING.read_text().split("## Add a task")[1], maxsplit=1, flags=re.MULTILINE)[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    folder = tmp_path_factory.mktemp("own")
    (folder / "rating.py").write_text(example)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(synthetic, "_ROWS", 256)  # videos in a split
        yield
    sys.modules.pop("rating", None)


def make_config(**changes):
    usual = {"task": "rating:TASK", "data__num_frames": 2, "eval__clips": 2, "train__steps": 4, "train__eval_every": 2}
    return saved_runs.make_config(**usual | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("rated")
    return workdir, train(make_config(), workdir)


def test_it_is_trained_and_its_checkpoints_are_ranked_by_its_own_figure(run):
    workdir, results = run
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    ranked = {str(line["step"]): line["val/right"] for line in lines if "val/right" in line}
    assert list(ranked) == ["2", "4"]
    assert json.loads((workdir / "checkpoints" / "scores.json").read_text()) == ranked
    assert json.loads((workdir / "config.json").read_text())["task"] == "rating:TASK"
    assert (workdir / "pictures" / "curves.png").is_file()
    assert f"{results['eval/right']:.3g}" in (workdir / "report.md").read_text()


def test_its_evaluator_scores_every_video_and_says_what_it_found(run, tmp_path):
    workdir, _ = run
    results = evaluate(make_config(init_from=str(workdir)), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == results["eval/num_expected"] == 256
    right = np.mean([abs(line["rating"] - line["label"]) < 0.5 for line in lines])
    assert results["eval/right"] == pytest.approx(right)


def test_its_run_is_read_back_with_its_answer(run):
    model = vidjax.from_pretrained(run[0])
    clips = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    assert model(clips)["logits"].shape == (2, 1)
    assert model.answer.kind == "values"


def test_predict_shows_its_answer_for_a_video(run, tmp_path, capsys):
    (tmp_path / "video.mp4").write_bytes(videos.encode(videos.moving_texture(12, 24, 32)))
    assert main(["predict", str(tmp_path / "video.mp4"), "--model", str(run[0]), "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    assert len(answer["values"]) == 1
    assert np.isfinite(answer["values"][0]["value"])


def test_anything_but_a_task_is_refused():
    with pytest.raises(ConfigError, match=r"rating:Rating has type ABCMeta, not a task"):
        TASKS.find("rating:Rating")
    with pytest.raises(ConfigError, match="there is no module 'no_such_task'"):
        TASKS.find("no_such_task:TASK")
