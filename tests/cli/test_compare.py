"""`vidjax compare` shows the answers of predict for each model side by side, with agreement and time."""

import json

import pytest

from vidjax.cli import main


def compare(videos, models, *options):
    return main(["compare", *videos, "--models", *models, *options])


def test_answers_are_those_of_predict_and_a_model_agrees_with_itself(
    classifier, several_labels, videos, tmp_path, capsys
):
    (tmp_path / "empty.mp4").write_bytes(b"")
    broken = str(tmp_path / "empty.mp4")
    assert compare([*videos, broken], [classifier, classifier, several_labels], "--json") == 3
    shown = capsys.readouterr()
    assert shown.err.count(f"no answer for {broken}: empty") == 1
    found = json.loads(shown.out)
    assert main(["predict", *videos, "--model", classifier, "--top", "1", "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)
    for line, answer in zip(found["videos"][:-1], wanted, strict=True):
        assert line["video"] == answer["video"]
        first, again, nameless = line["answers"]
        assert {key: first[key] for key in ("label", "probability")} == answer["top"][0]
        assert again["label"] == first["label"]
        assert nameless["label"].startswith("class ")
        assert 0 < first["seconds"] < 60
    assert all("error" in answer for answer in found["videos"][-1]["answers"])
    assert [model["classes"] for model in found["models"]] == [8, 8, 5]
    assert all(model["compile_seconds"] > 0 for model in found["models"])
    same, *others = found["agreement"]
    assert (same["share"], same["videos"], same["same"]) == (1.0, 3, 3)
    for pair in others:
        assert pair["share"] is None
        assert pair["remark"] == "not comparable: the classes of the second model have no names"


def test_a_table_has_a_row_for_each_video_and_the_time_beside_what_compiling_takes(classifier, videos, capsys):
    assert compare(videos[:2], [classifier, classifier], "--clips", "2") == 0
    shown = capsys.readouterr().out
    rows = ("clockwise/val_00000.mp4", "seconds, mean", "to compile")
    assert all(word in shown for word in rows)
    assert "A and B: the same class in 2 of 2 videos (100%)" in shown


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "--models takes two or more models; use `vidjax predict` for one"),
        (["--clips", "0"], "--clips=0 must be at least 1"),
    ],
)
def test_invalid_comparisons_are_rejected_before_a_model_is_loaded(videos, capsys, options, sentence):
    models = ["nobody/nothing", *(["nobody/else"] if options else [])]
    assert compare(videos, models, *options) == 2
    assert sentence in capsys.readouterr().err


def test_an_autoencoder_is_refused_with_what_it_can_do(classifier, autoencoder, videos, capsys):
    assert compare(videos, [autoencoder, classifier]) == 2
    assert "is a masked autoencoder, which has no classes" in capsys.readouterr().err
