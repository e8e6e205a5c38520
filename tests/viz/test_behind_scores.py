"""A report says how many videos a figure is based on, which checkpoint was scored, and which videos were left out."""

import json

import pytest

from vidjax.viz.behind_scores import score_sentences, video_blocks
from vidjax.viz.document import write_document

SCORED = {"eval/top1": 0.9412, "eval/num_scored": 17, "eval/num_expected": 17, "eval/clips": 3, "eval/crops": 1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "The eval/ figures are based on 17 videos and 51 clips (3 x 1 views of each video). "
            "A single video counts for 5.9%.",
        ),
        (
            {"eval/merge": "mean_softmax"},
            "The eval/ figures are based on 17 videos and 51 clips (3 x 1 views of each video, merged by "
            "mean_softmax). A single video counts for 5.9%.",
        ),
        ({"eval/clips": 1}, "The eval/ figures are based on 17 videos. A single video counts for 5.9%."),
        (
            {"eval/num_scored": 15, "eval/clips": 1},
            "The eval/ figures are based on 17 videos; 2 videos could not be scored. A single video counts for 5.9%.",
        ),
        (
            {"eval/num_windows": 40, "eval/clips": 1, "eval/crops": 3, "eval/merge": "max"},
            "The eval/ figures are based on 17 videos and 120 clips (40 windows in all with 3 crops each, merged by "
            "max). A single video counts for 5.9%.",
        ),
        ({"eval/num_expected": 20_000, "eval/num_scored": 20_000, "eval/clips": 1}, "based on 20000 videos."),
    ],
)
def test_a_score_says_how_many_videos_and_clips_it_is_based_on(changes, sentence, tmp_path):
    (said,) = score_sentences(SCORED | changes, tmp_path)
    assert said.endswith(sentence)


def test_two_values_of_one_figure_are_explained_by_checkpoint_and_views(tmp_path):
    lines = [{"step": step, "val/top1": value} for step, value in ((1804, 0.97), (2005, 0.8824))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    chosen = {"eval/step": 1804, "eval/chosen": "chosen from 49 validations"}
    _, which, why = score_sentences(SCORED | chosen | {"val/top1": 0.8824}, tmp_path)
    assert which == "Checkpoint 1804 was scored, chosen from 49 validations."
    assert why == (
        "val/top1 (88.2%) and eval/top1 (94.1%) are two measurements: val/ scores the model at the last step, 2005, "
        "on central views only, eval/ the model at step 1804 on 3 x 1 views."
    )
    assert list(score_sentences(SCORED | {"eval/step": 30}, tmp_path))[1] == "Checkpoint 30 was scored."
    assert not any("two measurements" in said for said in score_sentences(SCORED | {"val/top1": 0.9412}, tmp_path))


def test_a_run_without_scores_has_nothing_to_explain(tmp_path):
    assert not list(score_sentences({"train/loss": 0.5}, tmp_path))
    assert not video_blocks(tmp_path)


def test_the_videos_that_could_not_be_decoded_are_named_with_their_reasons(tmp_path):
    failed = [
        {"step": 7, "id": "run/half.mp4", "path": "", "reason": "truncated"},
        {"step": None, "id": "sit/no.mp4", "path": "", "reason": "not_video", "split": "val"},
    ]
    (tmp_path / "quarantine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in failed) + '{"step": 9, "i')
    (tmp_path / "data.json").write_text(json.dumps({"sentence": "videos: 9 videos; ignored: blue"}))
    text = write_document(tmp_path, "run", video_blocks(tmp_path)).read_text()
    assert "videos: 9 videos; ignored: blue." in text
    assert "2 videos could not be decoded (quarantine.jsonl):" in text
    assert "| run/half.mp4 | truncated | training, step 7 |" in text
    assert "| sit/no.mp4 | not_video | evaluation of val |" in text
    many = "".join(json.dumps(failed[0] | {"id": f"{number}.mp4"}) + "\n" for number in range(25))
    (tmp_path / "quarantine.jsonl").write_text(many)
    text = write_document(tmp_path, "run", video_blocks(tmp_path)).read_text()
    assert "25 videos could not be decoded (quarantine.jsonl; the first 20 are listed here):" in text
    assert text.count("truncated") == 20
