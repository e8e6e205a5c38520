"""`vidjax predict` matches the original model on the same frames, and reports videos it cannot read."""

import json
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from vidjax import from_pretrained
from vidjax.cli import main
from vidjax.cli.terminal import segment_lines
from vidjax.data import read_frames
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.motion_videos import CLASSES
from vidjax.weights import predictors
from vidjax.weights.clip_recipes import RecipeChanges

# 20 frames, every 2nd: 10. One clip of 8 lies in their middle, two at their start and end.
MIDDLE = [range(2, 18, 2)]
ENDS = [range(0, 16, 2), range(4, 20, 2)]


@pytest.fixture
def theirs(transformers):
    """Logits of transformers' model for clips given by frame numbers, (clips, classes)."""
    import torch

    def logits(source, video, clips):
        model = transformers.VideoMAEForVideoClassification.from_pretrained(source).eval()
        pixels = np.stack([read_frames(video, list(clip)) for clip in clips]).astype(np.float32) / 255
        pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        with torch.no_grad():
            return model(torch.tensor(pixels, dtype=torch.float32).permute(0, 1, 4, 2, 3)).logits.numpy()

    return logits


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def answer(capsys, *arguments, code=0):
    assert main(["predict", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def probabilities(entry, labels=CLASSES):
    found = {line["label"]: line["probability"] for line in entry["top"]}
    return np.array([found[label] for label in labels])


def test_probabilities_are_those_of_transformers(classifier, videos, capsys, theirs):
    answers = answer(capsys, *videos, "--model", classifier, "--stride", "2", "--top", "8")
    assert [entry["video"] for entry in answers] == videos
    for entry in answers:
        expected = softmax(theirs(classifier, entry["video"], MIDDLE))[0]
        np.testing.assert_allclose(probabilities(entry), expected, atol=2e-5)
        ranked = [line["probability"] for line in entry["top"]]
        assert ranked == sorted(ranked, reverse=True)
        assert set(entry) == {"video", "top"}
        assert set(entry["top"][0]) == {"label", "probability"}


@pytest.mark.parametrize(
    ("merge", "merged"),
    [
        ([], lambda logits: softmax(logits).mean(0)),
        (["--merge", "sum_logits"], lambda logits: softmax(logits.mean(0))),
        (["--merge", "max"], lambda logits: softmax(logits).max(0)),
    ],
)
def test_views_are_merged_by_the_rule_that_is_asked_for(classifier, videos, capsys, theirs, merge, merged):
    options = ["--stride", "2", "--clips", "2", "--top", "8", *merge]
    [entry] = answer(capsys, videos[0], "--model", classifier, *options)
    np.testing.assert_allclose(probabilities(entry), merged(theirs(classifier, videos[0], ENDS)), atol=2e-5)


@pytest.mark.parametrize(("changes", "parts"), [({"clips": 2, "crops": 3}, 6), ({"every": 0.2}, 3)])
def test_each_view_or_window_counts_as_its_share_of_the_video(classifier, videos, changes, parts):
    """Otherwise the bar of one video with 15 views would not move until all are done."""
    model = from_pretrained(classifier)
    predictor, told = predictors.make_predictor(model, RecipeChanges(stride=2, **changes)), []
    predictors.answer(predictor, videos[0], 1, pytest.fail, told.append)
    assert told == pytest.approx([1 / parts] * parts)


@pytest.mark.parametrize(("options", "merge"), [([], "mean"), (["--merge", "max"], "max")])
def test_windows_of_a_classifier_of_one_label_have_their_softmax_and_answer_by_their_mean(
    classifier, videos, capsys, theirs, options, merge
):
    asked = [videos[0], "--model", classifier, "--stride", "2", "--every", "0.2", "--top", "8", *options]
    [entry] = answer(capsys, *asked)
    expected = softmax(theirs(classifier, videos[0], [range(0, 16, 2), range(2, 18, 2), range(4, 20, 2)]))
    assert [window["start"] for window in entry["windows"]] == [0.0, 0.2, 0.4]  # at 10 frames a second
    for window, probability in zip(entry["windows"], expected, strict=True):
        np.testing.assert_allclose(probabilities(window), probability, atol=2e-5)
    merged = {"mean": expected.mean(0), "max": expected.max(0)}[merge]
    np.testing.assert_allclose(probabilities(entry), merged, atol=2e-5)
    assert main(["predict", *asked]) == 0
    words = {"mean": "the mean of each class", "max": "the largest probability of each class"}[merge]
    assert f"The table is the answer for the whole video: {words} over the windows." in capsys.readouterr().err


def test_windows_of_a_model_of_several_labels_answer_by_their_largest(several_labels, videos, capsys, theirs):
    [entry] = answer(capsys, videos[0], "--model", several_labels, "--stride", "2", "--every", "0.4")
    logits = theirs(several_labels, videos[0], [range(0, 16, 2), range(4, 20, 2)]).astype(np.float64)
    names = [f"class {number}" for number in range(5)]
    np.testing.assert_allclose(probabilities(entry, names), (1 / (1 + np.exp(-logits))).max(0), atol=2e-5)


def test_the_columns_of_a_timeline_align_and_a_share_stands_before_its_class():
    segments = [
        {"start": 0.0, "end": 9.0, "label": "class 74", "probability": 0.012},
        {"start": 9.0, "end": 118.5, "label": "class\x1b 3", "probability": 1.0},
        {"start": 118.5, "end": 120.8, "values": [{"name": "valence", "value": 0.5}, {"name": "arousal", "value": -1}]},
    ]
    assert segment_lines(segments) == [
        "  0.0 -   9.0 s    1% class 74",
        "  9.0 - 118.5 s  100% class\\x1b 3",
        "118.5 - 120.8 s  +0.500 valence  -1.000 arousal",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "2 x 1 views of 8 frames (every 2nd frame of the video); mean of their softmax"),
        (["--merge", "sum_logits"], "softmax of their mean logits"),
        (["--merge", "max", "--score", "sigmoid"], "largest of their sigmoid"),
    ],
)
def test_the_remark_says_how_views_were_merged(classifier, videos, capsys, options, words):
    assert main(["predict", videos[0], "--model", classifier, "--stride", "2", "--clips", "2", *options]) == 0
    assert words in capsys.readouterr().err


def test_a_model_of_several_labels_answers_with_sigmoids(several_labels, videos, capsys, theirs):
    [entry] = answer(capsys, videos[0], "--model", several_labels, "--stride", "2")
    names = [f"class {number}" for number in range(5)]
    logits = theirs(several_labels, videos[0], MIDDLE)[0].astype(np.float64)
    np.testing.assert_allclose(probabilities(entry, names), 1 / (1 + np.exp(-logits)), atol=2e-5)
    [entry] = answer(capsys, videos[0], "--model", several_labels, "--stride", "2", "--score", "softmax")
    np.testing.assert_allclose(probabilities(entry, names), softmax(logits), atol=2e-5)


def write_lossless(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=8)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "rgb24", {"crf": "0"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    np.testing.assert_array_equal(read_frames(path, range(len(frames))), frames)
    return str(path)


def test_the_crops_of_a_wide_video_lie_along_its_long_side(classifier, tmp_path, capsys, theirs):
    blocks = np.random.default_rng(0).integers(0, 256, (8, 6, 12, 3), dtype=np.uint8)
    wide = blocks.repeat(8, axis=1).repeat(8, axis=2)
    halves = [wide[:, :, :48], wide[:, :, 48:]]
    options = ["--stride", "1", "--crops", "2", "--top", "8"]
    [both] = answer(capsys, write_lossless(tmp_path / "wide.mp4", wide), "--model", classifier, *options)
    files = [write_lossless(tmp_path / f"{number}.mp4", half) for number, half in enumerate(halves)]
    expected = np.mean([softmax(theirs(classifier, file, [range(8)]))[0] for file in files], axis=0)
    np.testing.assert_allclose(probabilities(both), expected, atol=2e-5)


def test_the_table_names_the_video_its_best_classes_and_how_it_was_looked_at(classifier, videos, capsys):
    assert main(["predict", videos[0], "--model", classifier, "--stride", "2", "--top", "3"]) == 0
    shown = capsys.readouterr()
    [entry] = answer(capsys, videos[0], "--model", classifier, "--stride", "2", "--top", "3")
    assert videos[0] in shown.out
    for line in entry["top"]:
        assert line["label"] in shown.out
        assert f"{line['probability']:.1%}" in shown.out
    assert shown.out.count("%") == 3
    assert "1 view of 8 frames (every 2nd frame of the video); softmax of the logits" in shown.err


def test_a_broken_video_is_reported_and_the_others_are_answered(classifier, videos, tmp_path, capsys):
    cut, words, picture = (str(tmp_path / name) for name in ("cut.mp4", "words.mp4", "picture.png"))
    with open(videos[0], "rb") as whole, open(cut, "wb") as part:
        part.write(whole.read(2000))
    with open(words, "w") as file:
        file.write("not a video")
    Image.new("RGB", (64, 64), "red").save(picture)
    asked = [cut, videos[0], words, str(tmp_path / "gone.mp4"), picture, videos[1]]
    assert main(["predict", *asked, "--model", classifier, "--stride", "2", "--json"]) == 3
    shown = capsys.readouterr()
    answers = json.loads(shown.out)
    assert [entry["video"] for entry in answers] == asked
    reasons = [entry.get("error", "").split(":")[0] for entry in answers]
    assert reasons == ["truncated", "", "not_video", "missing", "not_video", ""]
    assert [len(entry["top"]) for entry in answers] == [0, 5, 0, 0, 0, 5]
    for video, reason in zip(asked, reasons, strict=True):
        assert (f"no answer for {video}: {reason}" in shown.err) == bool(reason)
    assert "picture.png is a single picture; give a video" in shown.err


def test_outputs_that_are_no_numbers_are_an_error_in_json_that_parses(classifier, videos, tmp_path, capsys):
    """A head of NaN, as left by diverged training."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(classifier, tmp_path / "diverged")
    weights = load_file(tmp_path / "diverged" / "model.safetensors")
    weights["classifier.weight"] = np.full_like(weights["classifier.weight"], np.nan)
    save_file(weights, tmp_path / "diverged" / "model.safetensors", {"format": "pt"})
    for options in ([], ["--every", "0.4"]):
        [entry] = answer(capsys, videos[0], "--model", str(tmp_path / "diverged"), *options, code=3)
        assert entry["error"].startswith("the model's outputs are NaN or infinite")
        assert entry["top"] == []


def test_a_video_shorter_than_a_clip_is_answered_with_a_remark(classifier, videos, capsys):
    assert main(["predict", videos[0], "--model", classifier, "--json"]) == 0  # 8 frames, every 4th as published
    assert f"{videos[0]} has 20 frames, but a clip spans 29; its last frame is repeated" in capsys.readouterr().err


def test_frames_can_be_spread_over_the_whole_video(classifier, videos, capsys, theirs):
    [entry] = answer(capsys, videos[0], "--model", classifier, "--stride", "0", "--top", "8")
    middles = [[1, 3, 6, 8, 11, 13, 16, 18]]  # of eight equal parts of 20 frames
    np.testing.assert_allclose(probabilities(entry), softmax(theirs(classifier, videos[0], middles))[0], atol=2e-5)


def test_a_pre_trained_model_is_refused_with_what_it_can_do(autoencoder, videos, capsys):
    assert main(["predict", videos[0], "--model", autoencoder]) == 2
    assert "is a masked autoencoder, which has no classes; see what it learned with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--top", "0"], "--top=0 must be at least 1"),
        (["--clips", "-1"], "--clips=-1 must be at least 1"),
        (["--stride", "-2"], "--stride=-2 must be at least 1, or 0 to spread"),
        (["--merge", "mean"], "argument --merge: invalid choice: 'mean'"),
        (["--modle", "x"], "predict has no option --modle; did you mean --model?"),
    ],
)
def test_invalid_options_are_refused_in_one_sentence(classifier, videos, capsys, options, sentence):
    assert main(["predict", videos[0], "--model", classifier, *options]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.splitlines()[-1].startswith("vidjax: ")
    assert sentence in shown.err
    assert "Traceback" not in shown.err


def test_missing_videos_are_noticed_before_the_model_is_read(capsys):
    assert main(["predict", "gone.mp4", "--model", "nobody/nothing"]) == 2
    assert capsys.readouterr().err.startswith("vidjax: gone.mp4 cannot be found; name video files")


@pytest.mark.parametrize(
    ("stride", "sampling", "words"),
    [
        (1, "dense", "16 frames in a row"),
        (3, "dense_span", "16 frames (every 3rd frame of the video)"),
        (12, "dense", "16 frames (every 12th frame of the video)"),
        (32, "dense", "16 frames (every 32nd frame of the video)"),
        (4, "segment", "16 frames spread over the whole video"),
    ],
)
def test_clips_in_words(stride, sampling, words):
    assert ClipRecipe(num_frames=16, stride=stride, sampling=sampling).words == words
