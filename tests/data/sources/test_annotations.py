"""Targets, intervals and captions of rows, from the built-in data set to the batch."""

import numpy as np
import pytest

from vidjax.config import DataConfig
from vidjax.data import eval_batches, motion_videos, open_source, train_batches
from vidjax.data.clips.eval_views import span
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.datasets import motion
from vidjax.data.sources.annotation_checks import (
    caption_warnings,
    check_intervals,
    class_warnings,
    faulty_intervals,
    interval_warnings,
    unseen_class_warnings,
    with_captions,
)
from vidjax.data.sources.annotations import window_labels
from vidjax.data.sources.rows import Row
from vidjax.data.sources.windows import WindowSource, windows_of
from vidjax.data.training_order import BalancedRows
from vidjax.data.video.decode import Video
from vidjax.errors import ConfigError, DataError

SHORT = motion_videos.MotionSpec(train_videos=16, test_videos=0, val_videos=8, size=32)
LONG = motion_videos.MotionSpec(train_videos=0, test_videos=0, val_videos=0, long_videos=12, size=32)
DATA = DataConfig(name="motion", num_frames=4, stride=2, image_size=16, global_batch=4, crop="center", threads=1)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return motion_videos.prepare(str(tmp_path_factory.mktemp("motion") / "short"), SHORT)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return motion_videos.prepare(str(tmp_path_factory.mktemp("motion") / "long"), LONG)


def batch_of(source, **changes):
    batches = train_batches(source, DataConfig(**(vars(DATA) | changes)), seed=0)
    batch = next(batches)
    batches.close()
    return batch


def test_labels_of_a_window_are_those_of_the_intervals_it_overlaps():
    intervals = [(0.0, 2.0, 0), (1.5, 4.0, 2), (4.0, 9.0, 1), (3.0, 3.0, 3)]
    expected = {(0.0, 1.0): [0], (1.0, 2.0): [0, 2], (2.0, 4.0): [2, 3], (3.9, 4.1): [1, 2], (8.0, 9.5): [1]}
    for window, classes in expected.items():
        assert np.flatnonzero(window_labels(intervals, window, 5)).tolist() == classes, window
    assert window_labels(intervals, None, 5).tolist() == [1, 1, 1, 1, 0]
    assert window_labels([], (0.0, 1.0), 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [
        ((2.0, 1.0, 0), r"kitchen: the interval from 2 s to 1 s ends before it starts"),
        ((-1.0, 1.0, 0), r"kitchen: the interval from -1 s to 1 s ends before it starts, or starts before 0"),
        ((11.0, 12.0, 0), r"kitchen: the interval from 11 s to 12 s lies outside the video of 10 s"),
        ((0.0, 1.0, 3), r"kitchen: class 3 is not one of the 3 classes"),
    ],
)
def test_impossible_intervals_are_refused_with_the_row(interval, sentence):
    with pytest.raises(DataError, match=sentence):
        check_intervals(Row(None, 0, "kitchen", intervals=(interval,), duration=10.0), 3)


def test_faults_of_a_public_data_set_are_counted_and_reported():
    rows = [
        Row(None, 0, "a", intervals=((0, 5, 0), (3, 12, 1)), duration=10.0),
        Row(None, 0, "b", intervals=((4, 2, 0), (20, 30, 1), (1, 11, 0)), duration=10.0),
        Row(None, 0, "c", intervals=((-3, -1, 0), (0, 99, 1)), duration=0.0),  # of unknown length
    ]
    found = faulty_intervals(rows)
    assert found == {"run past the end": ["a", "b"], "end before they start": ["b"], "lie outside": ["b", "c"]}
    said = interval_warnings("Charades", rows)
    assert said[0] == (
        "Charades: of 7 intervals, 2 run past the end, the first in a; each counts for its video as a whole, and for "
        "the moments of the video that it covers"
    )
    assert [sentence.split(", the first")[0] for sentence in said[1:]] == [
        "Charades: of 7 intervals, 1 end before they start",
        "Charades: of 7 intervals, 2 lie outside",
    ]
    assert interval_warnings("Charades", rows[:0]) == []


def test_empty_captions_and_videos_without_any_are_counted_and_left_out():
    rows = [
        Row(None, 0, "a", captions=("He runs.", " ")),
        Row(None, 0, "b", captions=("", "")),
        Row(None, 0, "c"),
        Row(None, 0, "d", captions=("She sits.",)),
    ]
    assert [(row.id, row.captions) for row in with_captions(rows)] == [("a", ("He runs.",)), ("d", ("She sits.",))]
    assert caption_warnings("Charades", rows) == [
        "Charades: 3 of 5 descriptions are empty and left out, the first in a",
        "Charades: 2 of 4 videos have no description and are left out, the first of them b",
    ]
    assert caption_warnings("Charades", rows[3:]) == []


def test_classes_without_an_example_are_counted_and_the_first_is_named():
    assert unseen_class_warnings("UCF101", {"run": 3, "sit": 0, "jump": 0}) == [
        "UCF101: 2 of 3 classes are never seen in training, the first of them 'sit'"
    ]
    assert unseen_class_warnings("UCF101", {"run": 1}) == []


def test_velocities_come_with_their_clips_and_classification_is_as_before(short):
    source = motion.read_split(short, "train", "target")
    velocity = {about["id"]: about["velocity"] for about in motion_videos.annotations(short)}
    assert (len(source), source.num_classes, source.labels) == (16, 2, motion.TARGETS)
    batch = batch_of(source)
    assert batch["target"].shape == (4, 2)
    assert batch["target"].dtype == np.float32
    for index, target in zip(batch["index"], batch["target"], strict=True):
        np.testing.assert_allclose(target, velocity[source[index].id], rtol=1e-6)

    plain = open_source(DataConfig(root=short), "train")
    assert set(batch_of(plain)) == {"video", "label", "valid", "index", "failed", "failed_reason"}
    assert plain.content_id != source.content_id


def test_captions_come_with_their_rows(short):
    source = motion.read_split(short, "val", "captions")
    captions = {about["id"]: about["caption"] for about in motion_videos.annotations(short)}
    assert all(source[i].captions == (captions[source[i].id],) for i in range(len(source)))


def test_a_clip_cut_from_a_long_video_has_the_labels_of_what_it_shows(long, monkeypatch):
    source = motion.read_split(long, "long", "intervals")
    read, asked = Video.read, []
    monkeypatch.setattr(Video, "read", lambda self, indices: asked.append(np.array(indices)) or read(self, indices))
    batch = batch_of(source, clips_per_decode=2)
    assert batch["labels"].shape == (8, 8)
    # Rows arrive in the order of the batch, but threads may read them in another, so look each window up among all.
    for index, labels in zip(batch["index"][::2], batch["labels"][::2], strict=True):
        possible = []
        for frames in asked:
            going = {frame // SHORT.frames for frame in range(frames[0], frames[-1] + 1)}
            row = source[index]
            possible.append({row.intervals[part][2] for part in going})
        assert set(np.flatnonzero(labels)) in possible
    np.testing.assert_array_equal(batch["labels"][::2], batch["labels"][1::2])


def test_the_long_videos_for_evaluation_show_other_handwriting(long):
    glyphs = {}
    for split in ("long_train", "long_val"):
        rows = [row for row in range(640) if motion.is_in(split, f"long_{row:05d}")]
        glyphs[split] = {motion_videos.draw_clip(motion.LONG, "long", row).glyph for row in rows}
    assert len(glyphs["long_val"]) > 30
    assert not glyphs["long_train"] & glyphs["long_val"]


@pytest.mark.parametrize(("split", "annotation"), [("long_test", "intervals"), ("train_2", "target")])
def test_an_unknown_split_of_the_motion_videos_is_refused_rather_than_read_as_training(short, long, split, annotation):
    folder = long if annotation == "intervals" else short
    with pytest.raises(DataError, match=f"motion has no split '{split}'; it has train, val, test, long, long_train"):
        motion.read_split(folder, split, annotation)


def test_an_annotation_that_a_data_set_does_not_have_is_refused(short, monkeypatch):
    with pytest.raises(DataError, match=r"'train' has no intervals; set data.train_split and data.eval_split to long"):
        motion.read_split(short, "train", "intervals")
    with pytest.raises(
        DataError,
        match=r"rows of data.name=ucf101 carry label, not target; data sets with target: afew_va, lvu, motion",
    ):
        open_source(DataConfig(name="ucf101", root=short), "train", "target")
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: short)
    with pytest.raises(DataError, match=r"data.num_classes=7, but motion has 2"):
        open_source(DataConfig(name="motion", num_classes=7), "train", "target")


def frames_of(times, fps, windows, **clip):
    """The windows of a video as (first, stop) frames."""
    found = windows_of(np.asarray(times, float), fps, ClipRecipe(windows=Windows(**windows), **clip)).windows
    return [(round(start * fps), round(stop * fps)) for start, stop in found]


@pytest.mark.parametrize(
    ("frames", "every", "count", "starts"),
    [
        (80, 0.8, 1, [0, 8, 16, 24, 32, 40, 48, 56, 64]),
        (83, 0.8, 1, [0, 8, 16, 24, 32, 40, 48, 56, 64, 67]),  # the last window ends with the video
        (10, 0.8, 1, [0]),
        (80, 0, 1, [32]),
        (80, 0, 3, [0, 32, 64]),
    ],
)
def test_windows_cover_a_video(frames, every, count, starts):
    windows = frames_of(np.arange(frames + 1) / 10, 10.0, {"seconds": every, "count": count}, num_frames=4, stride=4)
    assert windows == [(start, min(start + 16, frames)) for start in starts]


def test_windows_begin_at_their_second_however_long_the_video_is():
    """A hundred minutes at 29.97 frames per second: a stride rounded to 15 frames would be six seconds late."""
    fps = 30000 / 1001
    windows = frames_of(np.arange(180001) / fps, fps, {"seconds": 0.5, "length": 1.0})
    starts = np.array(windows)[:-1, 0] / fps
    assert np.abs(starts - 0.5 * np.arange(len(starts))).max() <= 0.5001 / fps
    assert {stop - start for start, stop in windows} <= {30}


def test_windows_of_a_variable_rate_begin_and_end_at_their_seconds():
    """Ten frames per second for two seconds, a picture of three seconds, and two frames per second."""
    times = np.array([*np.arange(20) / 10, 2.0, *np.arange(5, 9.1, 0.5)])
    recipe = ClipRecipe(windows=Windows(seconds=1.0, length=2.0))
    found = windows_of(times, (len(times) - 1) / 9, recipe)
    # The windows from 2 and from 3 s show only the long picture and are one, from 2 to 5 s.
    assert found.seconds.tolist() == [[0, 2], [1, 3], [2, 5], [4, 6], [5, 7], [6, 8], [7, 9]]
    frames = frames_of(times, (len(times) - 1) / 9, {"seconds": 1.0, "length": 2.0})
    assert frames == [(0, 20), (10, 21), (20, 21), (20, 23), (21, 25), (23, 27), (25, 29)]


def test_a_last_picture_that_stays_has_one_window():
    found = windows_of(np.array([0.0, 0.5, 1.0, 9.0]), 1 / 3, ClipRecipe(windows=Windows(seconds=1.0, length=2.0)))
    assert found.seconds.tolist() == [[0, 2], [1, 9]]


def test_half_frames_are_rounded_alike_for_every_window():
    assert frames_of(np.arange(21) / 10, 10.0, {"seconds": 0.5, "length": 0.75})[:3] == [(0, 8), (5, 13), (10, 18)]
    assert frames_of(np.arange(21) / 10, 10.0, {"seconds": 1.0, "length": 5.0}) == [(0, 20)]


def test_windows_are_rows_whose_frames_are_the_videos(long):
    source = motion.read_split(long, "long", "intervals")
    recipe = ClipRecipe(num_frames=4, stride=2, image_size=16, windows=Windows(seconds=1.0))
    windows = WindowSource(source, recipe)
    assert np.bincount(windows.video_of).tolist() == [9] * 12  # 80 frames at 10 per second, windows of 8
    np.testing.assert_allclose(windows.durations, 8.0)
    batches = eval_batches(windows, DATA, recipe, batch=9)
    video = next(batches)["video"]
    batches.close()
    with Video(source[0].video) as opened:
        assert span(opened, windows[3].window) == (30, 8)
        wanted = opened.read(np.arange(30, 38, 2))
    whole = next(iter([video[3, 0]])).astype(float)
    assert whole.shape == (4, 16, 16, 3)
    # The same frames at half the size: their means agree, while those of another window do not.
    means = wanted.reshape(4, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(means - whole).mean() < np.abs(means - video[6, 0].astype(float)).mean() / 2


def test_a_window_longer_than_the_video_is_reported(long, caplog):
    source = motion.read_split(long, "long", "intervals")
    WindowSource(source, ClipRecipe(num_frames=16, stride=8, windows=Windows(seconds=1.0)))
    assert "12 of 12 videos are shorter than the 121 frames that a clip spans, the first of them long_0" in caplog.text


def test_balanced_sampling_shows_every_class_equally_often(tmp_path):
    for label, count in (("many", 9), ("few", 2), ("one", 1)):
        folder = tmp_path / "train" / label
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.mp4").write_bytes(b"x")
    source = open_source(DataConfig(root=str(tmp_path), eval_split="train"), "train")
    rows = [*BalancedRows(source)]
    labels = np.array([source[row].label for row in rows])
    assert np.bincount(labels).tolist() == [9, 9, 9]
    assert rows == [0, 1] * 4 + [0] + [*range(2, 11)] + [11] * 9  # each class in turn, repeating its rows


def test_balanced_sampling_needs_classes(long):
    source = motion.read_split(long, "long", "intervals")
    with pytest.raises(
        ConfigError, match=r"data.balance=classes needs one class per row, but these rows have intervals"
    ):
        batch_of(source, balance="classes")


def test_classes_that_cannot_be_learned_or_judged_are_reported():
    assert class_warnings({"run": 30, "sit": 6}, {"run": 9, "sit": 2}) == []
    (one,) = class_warnings({"run": 30, "sit": 0}, {"run": 9})
    assert one.startswith("there is only one class, 'run', so a loss of 0 and an accuracy of 100% mean nothing")
    assert class_warnings({"run": 30, "sit": 3, "lie": 1}, {"run": 9, "sit": 1, "lie": 0}) == [
        "2 of 3 classes have fewer than 5 videos ('lie' has 1): they can hardly be learned, and their "
        "accuracy says little",
        "1 of 3 classes have a single video to train on, the first of them 'lie'",
        "1 of 3 classes have no video for validation, the first of them 'lie': their accuracy stays unknown",
    ]
    assert class_warnings({"run": 5, "sit": 5}) == []  # without validation
