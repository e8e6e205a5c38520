"""Each task's smoke run learns: it scores well above the constant predictor in its results."""

import json
import pathlib
import subprocess
import sys

import pytest
from shipped import read

from vidjax.cli import main
from vidjax.training import evaluate, train

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_regression_learns_the_velocity(tmp_path):
    results = train(read("motion_regression"), tmp_path)
    assert results["eval/num_scored"] == results["eval/num_expected"] == 256
    assert results["eval/constant_ccc"] == 0
    assert results["eval/ccc"] > 0.7
    assert results["eval/rmse"] < results["eval/constant_rmse"]
    assert {"eval/ccc_velocity_right", "eval/pcc_velocity_down", "eval/sagr"} <= set(results)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["eval/ccc"] == results["eval/ccc"]
    assert "eval/constant_rmse" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
def test_multi_label_classes_are_learned_from_windows(tmp_path):
    results = train(read("motion_multi_label"), tmp_path)
    assert results["eval/num_scored"] == results["eval/num_expected"]
    assert results["eval/map"] > results["eval/constant_map"] + 0.2
    assert results["eval/map_localised"] > results["eval/constant_map_localised"] + 0.25
    windows = [json.loads(line) for line in (tmp_path / "windows.jsonl").read_text().splitlines()]
    assert len(windows) == results["eval/num_windows"]
    assert windows[0]["start"] == 0.0
    assert windows[0]["end"] == 1.6


@pytest.mark.slow
def test_classes_are_learned_from_seven_frames_with_balance_and_reported(tmp_path):
    results = train(read("afew_va", "quadrant,smoke", optim__class_weights="balanced"), tmp_path)
    assert results["eval/f1_macro"] > 0.4 > 4 * results["eval/constant_f1_macro"]
    assert results["eval/f1_micro"] == pytest.approx(results["eval/top1"])
    for label in ("left", "zoom_in"):
        assert 0 <= results[f"eval/f1/{label}"] <= 1
    assert "| left |" in (tmp_path / "report.md").read_text()


SHORT = {"train__steps": 2, "train__log_every": 1, "train__checkpoint_every": 2, "data__global_batch": 8}
SHORT |= {"optim__warmup_steps": 1, "eval__batch": 8}


@pytest.mark.parametrize(
    ("job", "figure"),
    [("motion_regression", "ccc"), pytest.param("motion_multi_label", "map", marks=pytest.mark.slow)],
)
def test_a_run_is_scored_during_training_and_afterwards_and_predicts(job, figure, tmp_path, small_motion, capsys):
    config = read(job, train__eval_every=1, **SHORT)
    results = train(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if f"val/{figure}" in line] == [1, 2]
    scores = json.loads((tmp_path / "run" / "checkpoints" / "scores.json").read_text())
    assert scores["2"] == pytest.approx(results[f"val/{figure}"])
    again = evaluate(read(job, init_from=str(tmp_path / "run"), train__keep_latest=1, **SHORT), tmp_path / "again")
    best = max(scores, key=lambda step: (scores[step], int(step)))
    if best == "2":
        assert again[f"eval/{figure}"] == pytest.approx(results[f"eval/{figure}"], rel=1e-5)
    assert json.loads((tmp_path / "again" / "results.json").read_text()) == again
    check_predictions(job, tmp_path, capsys)


def check_predictions(job, folder, capsys):
    """`vidjax predict` answers with the numbers of a regression, or with windows in chronological order."""
    video = next((folder / ("short" if job == "motion_regression" else "long")).rglob("*.mp4"))
    capsys.readouterr()
    assert main(["predict", str(video), "--model", str(folder / "run"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)[0]
    if job == "motion_regression":
        assert [value["name"] for value in answer["values"]] == ["velocity_right", "velocity_down"]
        assert all(-1 <= value["value"] <= 1 for value in answer["values"])
        return
    starts = [window["start"] for window in answer["windows"]]
    assert starts == pytest.approx([0.8 * number for number in range(9)])
    assert answer["windows"][-1]["end"] == 8.0
    best = {line["label"]: line["probability"] for line in answer["top"]}
    label, merged = next(iter(best.items()))
    assert main(["predict", str(video), "--model", str(folder / "run"), "--json", "--top=8"]) == 0
    windows = json.loads(capsys.readouterr().out)[0]["windows"]
    each = [line["probability"] for window in windows for line in window["top"] if line["label"] == label]
    assert merged == pytest.approx(sum(each) / 9, rel=1e-5)
    assert main(["predict", str(video), "--model", str(folder / "run"), "--json", "--every=2"]) == 0
    windows = json.loads(capsys.readouterr().out)[0]["windows"]
    assert [window["start"] for window in windows[:4]] == pytest.approx([0, 2, 4, 6])
    assert (len(windows), windows[-1]["end"]) == (5, 8.0)


@pytest.fixture
def small_motion(monkeypatch, tmp_path):
    """A small part of the built-in data."""
    from vidjax.data import motion_videos
    from vidjax.data.datasets import motion

    short = motion_videos.prepare(
        str(tmp_path / "short"), motion_videos.MotionSpec(train_videos=16, test_videos=0, val_videos=8)
    )
    long_spec = motion_videos.MotionSpec(train_videos=0, test_videos=0, val_videos=0, long_videos=12)
    long = motion_videos.prepare(str(tmp_path / "long"), long_spec)
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: long if split.startswith("long") else short)
    monkeypatch.setattr(motion, "is_in", lambda split, name: (int(name[-5:]) >= 8) == (split == "long_val"))


@pytest.mark.slow
def test_mixup_is_compared_side_by_side(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "compare_mixup.py"), f"--config={ROOT}/configs/coin.py:smoke"]
    done = subprocess.run(
        [*command, "--config.train.steps=40", f"--workdir={tmp_path}", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    assert [row["mixup"] for row in rows] == [0.4, 0.0]
    report = (tmp_path / "report.md").read_text()
    for row in rows:
        assert f"{row['eval/f1_micro']:.4f}" in report
        assert f"{row['eval/log_loss']:.4f}" in report
    settings = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("mixup", "plain")]
    assert settings[0]["data"].pop("mixup") == 0.4
    assert settings[1]["data"].pop("mixup") == 0.0
    assert settings[0] == settings[1]
