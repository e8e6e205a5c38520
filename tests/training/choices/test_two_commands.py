"""A folder of videos and the two commands of the README: what a new user gets without flags."""

import json

import pytest
import real_clips

from vidjax.main import main

pytestmark = pytest.mark.slow  # two runs of a few steps, on real files


def run(capfd, experiment, root, workdir, *settings):
    argv = ["vidjax", f"--config={experiment}", f"--config.data.root={root}", f"--workdir={workdir}"]
    code = main([*argv, *(f"--config.{setting}" for setting in settings)])
    return code, capfd.readouterr().err


def test_eighteen_videos_are_pre_trained_on_fine_tuned_resumed_and_evaluated(tmp_path, capfd):
    root, pretrained, finetuned = tmp_path / "videos", tmp_path / "pretrained", tmp_path / "finetuned"
    real_clips.write_clips(root, 18, classes=("left", "right", "up"))
    code, said = run(capfd, "pretrain", root, pretrained, "train.steps=4")
    assert code == 0
    for words in (
        "model: the recipe for tiny models",
        "18 videos in 3 class folders",
        "chosen: ",
        "a step takes",
        "time: ",
    ):
        assert words in said, words
    assert "data.global_batch=16" in said  # the smallest of pre-training

    begin = f"init_from={pretrained}"
    code, said = run(capfd, "finetune", root, finetuned, begin, "train.steps=3")
    assert code == 0
    assert f"to suit {pretrained}" in said
    first, before = (json.loads((folder / "config.json").read_text()) for folder in (finetuned, pretrained))
    for key in ("num_frames", "stride", "image_size", "mean", "interpolation"):
        assert first["data"][key] == before["data"][key]
    assert first["model"]["spec"].items() >= {"tubelet_size": 4, "patch_size": 8}.items()

    code, said = run(capfd, "finetune", root, finetuned, begin, "train.steps=5")
    assert code == 0
    assert "resumed from checkpoint 3" in said
    again = json.loads((finetuned / "config.json").read_text())
    assert again["data"] == first["data"]
    assert again["train"]["accumulate"] == first["train"]["accumulate"]

    code, said = run(capfd, "finetune", root, finetuned, "mode=evaluate")
    assert code == 0
    results = json.loads((finetuned / "results.json").read_text())
    assert results["eval/num_scored"] == results["eval/num_expected"] > 0
