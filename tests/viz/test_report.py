"""Reports hold the numbers they were given, their links work, and the HTML needs no other file."""

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

from vidjax.config import Config, EvalConfig, OptimConfig, to_saved
from vidjax.viz import made, report
from vidjax.viz.confusion import draw_confusion_matrix
from vidjax.viz.curves import Curve


def make_run(folder, offset=0.0):
    folder.mkdir(parents=True)
    lines = [{"step": s, "train/loss": 3 / s + offset, "eval/top1": min(1.0, s / 40)} for s in range(1, 31)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = dataclasses.replace(Config(), task="classification", optim=OptimConfig(base_lr=0.125))
    (folder / "config.json").write_text(json.dumps(to_saved(config)))
    (folder / "results.json").write_text(json.dumps({"eval/top1": 0.75, "eval/merge": "sum_logits"}))
    draw_confusion_matrix(np.eye(3, dtype=int) * 4, ["a", "b", "c"], folder / "pictures" / "confusion_matrix.png")
    return folder


def check_links(path):
    links = re.findall(r"!\[.*?\]\((.*?)\)", path.read_text())
    assert links
    assert all((path.parent / link).is_file() for link in links)
    assert 'src="data:image/png;base64,' in (path.parent / "report.html").read_text()
    assert not re.search(r'src="(?!data:)', (path.parent / "report.html").read_text())
    return links


def test_report_of_a_run_names_results_changed_settings_and_pictures(tmp_path):
    path = report.write_run_report(make_run(tmp_path / "run"))
    text = path.read_text()
    assert "| top-1 accuracy | 75.0% | eval/top1 |" in text
    assert "optim.base_lr = 0.125" in text
    assert "data.num_frames" not in text  # as by default
    assert check_links(path) == ["pictures/curves.png", "pictures/confusion_matrix.png"]
    assert "CPU cores" in text
    assert re.search(r"20\d\d-\d\d-\d\d", text)


def test_the_report_of_a_run_that_stopped_at_once_is_still_written(tmp_path):
    assert "How it was made" in report.write_run_report(tmp_path).read_text()


def test_an_evaluation_extends_the_report_and_keeps_the_training(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    trained = dataclasses.replace(Config(), task="classification", optim=OptimConfig(base_lr=0.125))
    monkeypatch.setattr("sys.orig_argv", ["python", "-m", "vidjax.main", "--workdir=run", "--config=mine.py"])
    report.write_run_report(run, act="trained to step 30 of 30", config=trained, results={"eval/top1": 0.75})
    other = dataclasses.replace(trained, mode="evaluate", eval=EvalConfig(clips=7))
    monkeypatch.setattr("sys.orig_argv", ["python", "-m", "vidjax.main", "--config.mode=evaluate"])
    (run / "results.json").write_text(json.dumps({"eval/top1": 0.875}))
    text = report.write_run_report(run, act="evaluated", config=other, results={"eval/top1": 0.875}).read_text()
    for words in (
        "| top-1 accuracy | 75.0% | eval/top1 |",
        "| top-1 accuracy | 87.5% | eval/top1 |",
        "eval.clips = 7\n",
        "optim.base_lr = 0.125",
    ):
        assert text.count(words) == 1
    assert "--config=mine.py" in text
    assert "--config.mode=evaluate" in text
    assert text.index("Trained to step 30 of 30: 20") < text.index("Evaluated: 20")
    assert "pictures/curves.png" in text


def test_a_damaged_line_of_the_history_loses_only_that_line(tmp_path):
    report.write_run_report(tmp_path, act="stopped at step 3 of 8")
    with (tmp_path / made.HISTORY).open("ab") as file:
        file.write(b'{"act": "\xff\n[1]\n{}\n')
    text = report.write_run_report(tmp_path, act="trained to step 8 of 8").read_text()
    assert "Stopped at step 3 of 8: " in text
    assert "Trained to step 8 of 8: " in text


def test_a_command_has_one_flag_per_line():
    words = ["-m", "vidjax.main", "--config=a.py:base", "--workdir=/my run", "--config.seed=1"]
    lines = made.command(words).splitlines()
    assert lines == [
        "python -m vidjax.main \\", "    --config=a.py:base \\", "    '--workdir=/my run' \\", "    --config.seed=1"
    ]  # fmt: skip
    assert made.command(["/env/bin/vidjax", "quickstart"]) == "vidjax quickstart"


def test_a_single_evaluation_is_a_sentence_not_a_curve(tmp_path):
    run = make_run(tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 30, "val/top1": 0.625}) + "\n")
    text = report.write_run_report(run, (Curve("val/top1", "top-1 accuracy, one view", fraction=True),)).read_text()
    assert "Top-1 accuracy, one view: 62.5% at step 30." in text


def test_the_results_begin_with_the_figures_that_the_task_draws(tmp_path):
    run, curves = make_run(tmp_path / "run"), (Curve("val/top1", "top-1 accuracy, one view", fraction=True),)
    text = report.write_run_report(run, curves).read_text()
    assert "**75.0%** top-1 accuracy" in text
    assert text.index("**75.0%**") < text.index("| top-1 accuracy | 75.0% | eval/top1 |")
    assert "<b>75.0%</b>top-1 accuracy" in (run / "report.html").read_text()


def test_a_pre_training_begins_with_its_loss_and_its_pictures(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "results.json").write_text(json.dumps({"train/loss": 0.020444, "train/nonfinite": 0, "time/step": 815.7}))
    Image.new("RGB", (4, 4)).save(run / "pictures" / "reconstruction.png")
    text = report.write_run_report(run).read_text()
    assert "**0.0204** training loss at the end" in text
    assert "| training loss | 0.0204 | train/loss |" in text
    assert "time/step" not in text
    assert (
        text.index("## Results") < text.index("## Reconstructions") < text.index("## Recipe") < text.index("## Curves")
    )


def test_settings_leave_out_the_version_of_the_format(tmp_path):
    saved = to_saved(dataclasses.replace(Config(), optim=OptimConfig(base_lr=0.125))) | {"schema": 1}
    assert report.settings(json.loads(json.dumps(saved))) == "optim.base_lr = 0.125"


def test_comparison_averages_over_seeds(tmp_path):
    for name in ("pretrain", "finetune", "scratch"):
        make_run(tmp_path / "seed0" / name)
    rows = [
        {"seed": seed, "start": "pre-trained", "top1": top1, "top5": 1.0}
        for seed, top1 in ((0, 0.9), (1, 0.8), (2, 1.0))
    ]
    rows.append({"seed": None, "start": "chance", "top1": 0.125, "top5": 0.625})
    path = report.write_comparison(tmp_path, rows, (), 90.0)
    text = path.read_text()
    assert "| pre-trained | 90.0% ± 10.0% | 100.0% ± 0.0% |" in text
    assert "| chance | 12.5% | 62.5% |" in text
    assert "1.5 minutes" in text
    assert "pictures/finetune.png" in check_links(path)


@pytest.mark.parametrize("classes", [3, 40, 174])
def test_confusion_matrix_is_drawn_for_few_and_many_classes(classes, tmp_path):
    matrix = np.random.default_rng(0).integers(0, 5, (classes, classes))
    path = draw_confusion_matrix(matrix, [f"class {i}" for i in range(classes)], tmp_path / "c.png")
    assert path.stat().st_size > 5000
