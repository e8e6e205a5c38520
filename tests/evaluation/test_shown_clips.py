"""The best and worst videos of an evaluation, with their answers."""

import json
from types import SimpleNamespace

import numpy as np
from PIL import Image

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.evaluation.action import ActionEvaluator
from vidjax.evaluation.classification import ClassificationEvaluator
from vidjax.evaluation.multi_label import MultiLabelEvaluator, Scores
from vidjax.evaluation.regression import RegressionEvaluator
from vidjax.evaluation.result_files import VideoScores
from vidjax.evaluation.shown_clips import Judged, best_and_worst, show_best_and_worst


def test_no_video_is_both_best_and_worst_and_unscored_videos_are_not_shown():
    marks = np.array([0.5, np.nan, 0.9, 0.1, 0.7])
    assert best_and_worst(marks, 1) == ([2], [3])
    assert best_and_worst(marks) == ([2, 4], [3, 0])
    assert best_and_worst(marks[:2]) == ([0], [])
    assert best_and_worst(np.full(3, np.nan)) == ([], [])


def test_equal_marks_keep_the_order_of_the_videos():
    assert best_and_worst(np.zeros(4)) == ([0, 1], [3, 2])


def test_the_best_are_of_different_classes_and_of_the_better_half():
    """Class 0 has the three best videos; that of class 2 is in the worse half."""
    marks = np.array([0.99, 0.98, 0.97, 0.9, 0.8, 0.3, 0.2, 0.1])
    classes = np.array([0, 0, 0, 1, 1, 2, 1, 0])
    assert best_and_worst(marks, 3, classes) == ([0, 3, 1], [7, 6, 5])
    assert best_and_worst(marks, 3) == ([0, 1, 2], [7, 6, 5])
    judged = Names(ClipRecipe()).judged(
        VideoScores(np.eye(3, dtype=np.float32), np.array([0, 1, 2]), np.ones(3, bool), ("",) * 3)
    )
    np.testing.assert_array_equal(judged.classes, [0, 1, 2])


def bare(kind, **attributes):
    """An evaluator with these attributes that compiles nothing."""
    return type("Bare", (kind,), {"__init__": lambda self: vars(self).update(attributes), "labels": None})()


def test_an_action_is_judged_by_the_product_of_its_parts():
    """The softmax of [log 3, 0] is [3/4, 1/4]; actions of two nouns and two verbs rank by their sums of logits."""
    logits = np.array([[2 * np.log(3), 0, 0, 2 * np.log(3)], [2 * np.log(3), 0, 0, 2 * np.log(3)]], np.float32)
    found = VideoScores(logits, np.zeros(2, int), np.ones(2, bool), ("", ""))
    recipe = ClipRecipe(merge="sum_logits", clips=2)
    judged = bare(ActionEvaluator, recipe=recipe, _nouns=2, _actions=np.array([[0, 1], [1, 1]])).judged(found)
    np.testing.assert_allclose(judged.marks, [9 / 16, 3 / 16], rtol=1e-6)
    assert judged.words(0) == "verb 1, noun 0, 56%"
    assert judged.words(1) == "verb 1, noun 1, 19%; mistaken for verb 1, noun 0"


def test_numbers_are_judged_by_their_distance():
    found = VideoScores(np.array([[3.0, 4.0], [1.0, 0.0]]), np.zeros(2, int), np.array([True, False]), ("", "empty"))
    judged = bare(RegressionEvaluator, _targets=np.zeros((2, 2))).judged(found)
    np.testing.assert_allclose(judged.marks, [-5, np.nan])
    assert judged.words(0) == "0.00, 0.00; predicted 3.00, 4.00"


def test_several_labels_are_judged_by_the_precision_at_their_ranks():
    """Labels 0 and 2 at ranks 1 and 3: (1/1 + 2/3) / 2. A video without labels or scores has no mark."""
    scores = np.array([[0.9, 0.5, 0.3, 0.1], [0.9, 0.5, 0.3, 0.1], [-1.0] * 4])
    positives = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    source = SimpleNamespace(num_classes=4)
    judged = bare(MultiLabelEvaluator, source=source, _positives=positives).judged(Scores(None, scores, None))
    np.testing.assert_allclose(judged.marks, [5 / 6, np.nan, np.nan])
    assert judged.words(0) == "0, 2; answered 0 90%, 1 50%, 2 30%"


class Names(ClassificationEvaluator):
    """An evaluator with class names and a recipe that compiles nothing."""

    labels = ("jump", "run", "sit")

    def __init__(self, recipe):
        self.recipe = recipe


def test_a_classifier_is_judged_by_the_probability_of_the_label():
    scores = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0, 0, 0]], np.float32)
    found = VideoScores(scores, np.array([0, 1, 2]), np.array([True, True, False]), ("", "", "empty"))
    judged = Names(ClipRecipe()).judged(found)
    np.testing.assert_allclose(judged.marks, [0.7, 0.3, np.nan], rtol=1e-6)
    assert judged.words(0) == "jump, 70%"
    assert judged.words(1) == "run, 30%; mistaken for jump, 60%"


def test_the_central_view_is_shown_and_a_missing_video_is_left_out(tmp_path, monkeypatch):
    import av

    def write(name, red):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for _ in range(5):
                frame = np.full((32, 32, 3), (red, 40, 40), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())

    write("red.mp4", 220)
    write("dark.mp4", 40)
    names = ("red.mp4", "gone.mp4", "dark.mp4")
    source = InMemorySource("val", [Row(str(tmp_path / name), 0, name) for name in names], num_classes=1)
    recipe = ClipRecipe(num_frames=4, stride=1, image_size=16, clips=3, crops=3, channels="bgr")
    judged = Judged(np.array([3.0, 2.0, 1.0]), lambda number: f"mark {judged.marks[number]}")
    show_best_and_worst(judged, source, recipe, tmp_path / "pictures")
    listed = json.loads((tmp_path / "pictures" / "clips.json").read_text())
    assert [(entry["kind"], entry["words"]) for entry in listed] == [
        ("best", "red.mp4: mark 3.0"),
        ("worst", "dark.mp4: mark 1.0"),
    ]
    picture = Image.open(tmp_path / "pictures" / listed[0]["file"])
    assert picture.n_frames == 1 or picture.n_frames == 4  # equal frames may be merged
    red, green, blue = np.asarray(picture.convert("RGB")).mean(axis=(0, 1))
    assert red > 180 > 90 > max(green, blue)
