"""The motion data set keeps its promise: only movement shows the class, and files match their annotations."""

import dataclasses
import itertools
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vidjax.config import DataConfig
from vidjax.data import motion_videos
from vidjax.data.open import open_source
from vidjax.data.video.decode import read_frames
from vidjax.errors import DataError

SPEC = motion_videos.MotionSpec()
SMALL = motion_videos.MotionSpec(train_videos=16, val_videos=8, test_videos=4, long_videos=2, frames=6)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return Path(motion_videos.prepare(str(tmp_path_factory.mktemp("data") / "motion"), SMALL))


def test_leftovers_of_a_killed_process_are_removed_and_those_of_a_running_one_stay(tmp_path):
    code = "from vidjax.data import motion_videos as m; m.prepare({!r}, m.MotionSpec(train_videos=100000, frames=6))"
    writer = subprocess.Popen([sys.executable, "-c", code.format(str(tmp_path / "motion"))])
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".motion-*/train/*/*.mp4")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        motion_videos.prepare(str(tmp_path / "motion"), SMALL)
        assert len(list(tmp_path.glob(".motion-*"))) == 1  # it is still writing
    finally:
        writer.kill()
        writer.wait()
    shutil.rmtree(tmp_path / "motion")
    motion_videos.prepare(str(tmp_path / "motion"), SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["motion"]


@pytest.fixture(scope="module")
def poses() -> np.ndarray:
    """(classes, videos per class, frames, components of the pose)."""
    by_class = {label: [] for label in motion_videos.CLASSES}
    for row in range(3200):
        clip = motion_videos.draw_clip(SPEC, "train", row)
        by_class[clip.intervals[0].label].append(clip.poses())
    return np.array([by_class[label] for label in motion_videos.CLASSES])


@pytest.mark.parametrize("part", range(4), ids=["x", "y", "turn", "zoom"])
def test_pose_is_uniform_for_every_class_at_every_frame(poses, part):
    values = np.sort(poses[..., part], axis=1)
    count = values.shape[1]
    ranks = np.arange(1, count + 1)[None, :, None] / count
    distance = np.maximum(ranks - values, values - ranks + 1 / count).max(axis=1) * np.sqrt(count)
    # Kolmogorov's distribution: 1.95 is exceeded with probability 0.001 by each of the 8 x 20 samples; frames of a
    # class are correlated, so a deviation would show in many of them.
    assert distance.shape == (8, SPEC.frames)
    assert distance.max() < 1.95


def test_a_frame_far_off_uniform_would_be_noticed(poses):
    """The statistic above rejects what it should: the same poses without wrap-around."""
    squeezed = np.sort(0.1 + 0.8 * poses[..., 0], axis=1)
    ranks = np.arange(1, squeezed.shape[1] + 1)[None, :, None] / squeezed.shape[1]
    assert (np.abs(ranks - squeezed).max(axis=1) * np.sqrt(squeezed.shape[1]) > 1.95).all()


def test_appearance_says_nothing_about_class_or_speed():
    clips = [motion_videos.draw_clip(SPEC, "train", row) for row in range(3200)]
    speeds = np.array([clip.intervals[0].speed for clip in clips])
    for attribute in ("digit", "colour"):
        values = np.array([getattr(clip, attribute) for clip in clips])
        table = np.array([Counter(values[c::8].tolist()).get(v, 0) for c in range(8) for v in np.unique(values)])
        expected = np.tile([np.mean(values == v) * 400 for v in np.unique(values)], 8)
        freedom = 7 * (len(np.unique(values)) - 1)
        assert ((table - expected) ** 2 / expected).sum() < freedom + 4 * np.sqrt(2 * freedom)
        means = [speeds[values == v].mean() for v in np.unique(values)]
        assert np.ptp(means) < 0.06 * speeds.mean()


@pytest.mark.parametrize("row", range(8))
def test_a_clip_played_backwards_is_a_clip_of_the_opposite_class(row):
    clip = motion_videos.draw_clip(SPEC, "train", row)
    part = clip.intervals[0]
    back = dataclasses.replace(part, label=motion_videos.OPPOSITE[part.label], rate=tuple(-rate for rate in part.rate))
    reverse = dataclasses.replace(clip, intervals=(back,), start=tuple(clip.poses()[-1]))
    np.testing.assert_array_equal(motion_videos.render(reverse, SPEC)[::-1], motion_videos.render(clip, SPEC))
    # Its rate is one that the opposite class may draw: the main component has that class's sign and a possible size.
    example = next(
        other
        for other in (motion_videos.draw_clip(SPEC, "train", i).intervals[0] for i in range(8))
        if other.label == back.label
    )
    main = int(np.abs(example.rate).argmax())
    assert np.abs(back.rate).argmax() == main
    assert np.sign(back.rate[main]) == np.sign(example.rate[main])


@pytest.mark.parametrize(
    ("label", "brighter"),
    [("right", (0, 1)), ("left", (0, -1)), ("down", (1, 0)), ("up", (-1, 0))],
)
def test_the_digit_moves_the_way_its_class_says(label, brighter):
    spec = dataclasses.replace(SPEC, slant=0.0)
    row = motion_videos.CLASSES.index(label)
    clip = dataclasses.replace(motion_videos.draw_clip(spec, "train", row), start=(0.5, 0.5, 0.1, 0.5))
    ink = np.abs(
        motion_videos.render(clip, spec)[:2].astype(float) - motion_videos.background(clip.texture, spec.size) * 255
    ).sum(-1)
    grid = np.stack(np.meshgrid(*[np.arange(spec.size)] * 2, indexing="ij"))
    first, second = ((grid * frame).sum((1, 2)) / frame.sum() for frame in ink)
    moved = (second - first) / (np.abs(clip.intervals[0].rate).max() * spec.size)
    np.testing.assert_allclose(moved, brighter, atol=0.1)


def test_the_digit_turns_and_grows_the_way_its_class_says():
    for label, side in (("zoom_in", 1), ("zoom_out", -1)):
        clip = motion_videos.draw_clip(SPEC, "train", motion_videos.CLASSES.index(label))
        clip = dataclasses.replace(clip, start=(0.5, 0.5, 0.0, 0.5))
        ink = np.abs(
            motion_videos.render(clip, SPEC)[:3] - motion_videos.background(clip.texture, SPEC.size) * 255
        ).sum((1, 2, 3))
        assert (np.sign(np.diff(ink)) == side).all()
    one = int(np.flatnonzero(motion_videos.glyphs()[1] == 1)[0])  # upright; turned clockwise it leans to the right
    clip = motion_videos.Clip(
        (motion_videos.Interval("clockwise", 2, 1.0, (0, 0, 1 / 8, 0)),), (0.5, 0.5, 0, 1 - 1e-6), 1, one, "white", 0
    )
    ink = np.abs(motion_videos.render(clip, SPEC)[1] - motion_videos.background(0, SPEC.size) * 255).sum(-1)
    half = SPEC.size // 2
    leaning_right = ink[:half, half:].sum() + ink[half:, :half].sum()
    assert leaning_right > 2 * (ink.sum() - leaning_right)


def test_the_digit_leaves_on_one_side_and_enters_on_the_other():
    clip = motion_videos.draw_clip(SPEC, "train", motion_videos.CLASSES.index("right"))
    at_border = dataclasses.replace(clip, start=(0.0, 0.5, 0.0, 0.5))
    centred = dataclasses.replace(clip, start=(0.5, 0.5, 0.0, 0.5))
    glyph = [
        np.abs(motion_videos.render(c, SPEC)[0] - motion_videos.background(c.texture, SPEC.size) * 255).sum(-1) > 60
        for c in (at_border, centred)
    ]
    assert np.mean(np.roll(glyph[0], SPEC.size // 2, axis=1) != glyph[1]) < 0.02


def test_files_hold_what_was_drawn(prepared):
    for about in motion_videos.annotations(str(prepared)):
        clip = motion_videos.draw_clip(SMALL, about["split"], int(about["id"].rsplit("_", 1)[1]))
        drawn = motion_videos.render(clip, SMALL)
        assert about["frames"] == len(drawn)
        decoded = read_frames(str(prepared / about["video"]), np.arange(len(drawn)))
        assert decoded.shape == drawn.shape
        # Colour is stored at half the resolution; brightness is what moves.
        error = np.abs(decoded.astype(float).mean(-1) - drawn.mean(-1))
        assert error.mean() < 4


def test_annotations_agree_with_folders_and_motion(prepared):
    rows = motion_videos.annotations(str(prepared))
    assert Counter(row["split"] for row in rows) == {"train": 16, "val": 8, "test": 4, "long": 2}
    assert {row["video"] for row in rows} == {str(path.relative_to(prepared)) for path in prepared.rglob("*.mp4")}
    for row in rows:
        if row["split"] == "long":
            assert row["frames"] == SMALL.frames * SMALL.intervals
            ends = [part["end"] for part in row["intervals"]]
            assert [part["start"] for part in row["intervals"]] == pytest.approx([0, *ends[:-1]])
            assert ends[-1] == pytest.approx(row["frames"] / row["fps"])
            labels = [part["class"] for part in row["intervals"]]
            assert all(first != second for first, second in itertools.pairwise(labels))
            continue
        assert Path(row["video"]).parts[:2] == (row["split"], row["class"])
        moves = row["class"] in ("left", "right", "up", "down")
        assert (SMALL.min_speed <= np.hypot(*row["velocity"]) <= 1) if moves else row["velocity"] == [0, 0]


def test_splits_share_no_handwriting():
    glyphs = {
        split: {motion_videos.draw_clip(SPEC, split, row).glyph for row in range(300)}
        for split in ("train", "val", "test", "long")
    }
    for one, other in itertools.combinations(glyphs.values(), 2):
        assert not one & other


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(prepared, tmp_path):
    again = Path(motion_videos.prepare(str(tmp_path / "again"), SMALL))
    names = sorted(path.relative_to(prepared) for path in prepared.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((prepared / name).read_bytes() == (again / name).read_bytes() for name in names)
    other = motion_videos.draw_clip(dataclasses.replace(SMALL, seed=1), "train", 0)
    assert other != motion_videos.draw_clip(SMALL, "train", 0)


def test_it_opens_like_class_folders(prepared):
    source = open_source(DataConfig(name="folder", root=str(prepared)), "train")
    assert source.labels == motion_videos.CLASSES
    assert len(source) == SMALL.train_videos
    assert all(len(source.rows_of_class(label)) == 2 for label in range(8))


def test_a_failed_write_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    encode, calls = motion_videos.encode, []

    def failing(*args):
        calls.append(args)
        if len(calls) > 5:
            raise OSError("no space left on device")
        encode(*args)

    monkeypatch.setattr(motion_videos, "encode", failing)
    with pytest.raises(OSError, match="no space"):
        motion_videos.prepare(str(tmp_path / "motion"), SMALL)
    assert not list(tmp_path.iterdir())


def test_two_writers_at_once_agree(tmp_path):
    both, found = threading.Barrier(2), []

    def write():
        both.wait()
        found.append(motion_videos.prepare(str(tmp_path / "motion"), SMALL))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [str(tmp_path / "motion")] * 2
    assert len(list((tmp_path / "motion").rglob("*.mp4"))) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["motion"]


def test_it_is_written_once_and_found_in_the_cache(tmp_path, monkeypatch):
    def written():
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")}

    monkeypatch.setenv("VIDJAX_CACHE", str(tmp_path))
    root = motion_videos.prepare(spec=SMALL)
    assert Path(root).parent == tmp_path
    before = written()
    assert motion_videos.prepare(spec=SMALL) == root
    assert written() == before


def test_a_folder_with_something_else_is_refused(prepared, tmp_path):
    with pytest.raises(DataError, match="another specification"):
        motion_videos.prepare(str(prepared), dataclasses.replace(SMALL, seed=1))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        DataError, match=r"not a motion data set.*configs/pretrain.py or configs/finetune.py.*data.name=folder"
    ):
        motion_videos.prepare(str(tmp_path), SMALL)
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("row", range(3))
def test_digits_shake_about_the_middle_of_black_frames(row):
    frames = motion_videos.render(
        motion_videos.draw_clip(motion_videos.DIGITS, "train", row), motion_videos.DIGITS
    ).astype(float)
    ink = frames.sum(axis=-1)
    share = (ink == 0).mean()
    assert share > 0.6  # the box of the digit covers 0.36 of the frame
    places = np.stack([(ink.sum(axis=axis) @ np.arange(48)) / ink.sum(axis=(1, 2)) for axis in (2, 1)], axis=-1) / 48
    drift = 20 / 100  # of the fastest after 20 frames
    assert np.abs(places - 0.5).max() < motion_videos.DIGITS.shake + drift + 0.1  # ink may be off-centre in its box
    steps = np.abs(np.diff(places, axis=0))
    assert steps.max() > 0.05  # per frame, compared with at most 0.01 without shaking
    np.testing.assert_allclose(ink.sum(axis=(1, 2)), ink[0].sum(), rtol=0.1)  # neither grows nor leaves the frame


def test_digits_are_opened_by_name(tmp_path, monkeypatch):
    few = dataclasses.replace(motion_videos.DIGITS, train_videos=8, val_videos=16, test_videos=24, frames=4)
    monkeypatch.setattr(motion_videos, "DIGITS", few)
    sources = [open_source(DataConfig(name="motion_digits", root=str(tmp_path / "digits")), s) for s in ("val", "test")]
    assert [len(source) for source in sources] == [16, 24]
    assert sources[0].labels == motion_videos.CLASSES
    assert motion_videos.annotations(str(tmp_path / "digits"))[0]["digit"] in range(10)
