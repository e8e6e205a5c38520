"""The clips that tests and documents train on: files like those of phones, whose classes are motions only."""

import av
import cv2
import numpy as np
import pytest
import real_clips
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vidjax.data.video.decode import read_frames


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return real_clips.write_clips(tmp_path_factory.mktemp("clips"), 15, seed=3)


def test_files_are_like_those_of_phones(files):
    rates, rotations = set(), set()
    for path in files:
        with av.open(str(path)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
            assert 1.9 < float(video.duration * video.time_base) < 4.1
            rates.add(round(float(video.average_rate)))
            rotations.add(next(container.decode(video)).rotation % 360)
    assert len(rates) >= 4
    assert len(rotations) >= 3


def test_decoded_frames_are_as_drawn_and_upright(files):
    for number, path in enumerate(files):
        label, drawn = real_clips.draw_clip(path.parent.name, number, seed=3)
        shown = read_frames(path, range(0, len(drawn), 20))
        assert shown.shape[1:] == (240, 320, 3), label
        assert np.abs(shown - drawn[::20].astype(np.float32)).mean() < 8, label


def test_a_number_and_a_seed_determine_the_bytes(files, tmp_path):
    again = real_clips.write_clips(tmp_path / "again", 3, seed=3)
    other = real_clips.write_clips(tmp_path / "other", 3, seed=4)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files[:3]]
    assert all(one.read_bytes() != two.read_bytes() for one, two in zip(again, other, strict=True))


def test_clips_without_labels_lie_in_one_folder(tmp_path):
    real_clips.write_clips(tmp_path, 4, labelled=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"clip_000{number}.mp4" for number in range(4)]


def test_the_shape_moves_as_its_class_says():
    """Judged by its centre in the difference from the clip's median picture."""
    labels = (*_HEADINGS, *real_clips.TURNS)
    for number, label in enumerate(labels * 3):
        clip, frames = real_clips.draw_clip(label, number, seed=5)
        steps = _steps(frames[:: max(1, clip.rate // 10)])
        turned = np.sum(steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0])  # right, down: clockwise above 0
        if label in _HEADINGS:
            way = np.median(steps, axis=0)
            assert way @ _HEADINGS[label] > 0.9 * np.linalg.norm(way), (label, number)
        else:
            assert (turned > 0) == (label == "circle_right"), (label, number)


@pytest.mark.slow
def test_the_mean_of_its_frames_does_not_tell_a_clips_class():
    """A linear classifier on down-sampled mean frames stays within 10 points of chance."""
    labels = [real_clips.CLASSES[number % len(real_clips.CLASSES)] for number in range(90)]
    means = [_mean_frame(real_clips.draw_clip(label, number)[1]) for number, label in enumerate(labels)]
    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    accuracy = cross_val_score(line, np.stack(means), labels, cv=10).mean()
    assert abs(accuracy - 1 / len(real_clips.CLASSES)) < 0.1


_HEADINGS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # x to the right, y down


def _steps(frames):
    """Motion (t-1 2) of the centre of what differs from the median, between frames in which it is fully visible."""
    small = np.stack([cv2.resize(frame, (80, 60), interpolation=cv2.INTER_AREA) for frame in frames]).astype(np.float32)
    change = np.abs(small - np.median(small, axis=0)).sum(axis=-1)
    inks = change > 0.5 * change.max()
    seen = np.array(
        [ink.sum() > 20 and not (ink[0].any() or ink[-1].any() or ink[:, 0].any() or ink[:, -1].any()) for ink in inks]
    )
    centres = np.array(
        [np.argwhere(ink).mean(axis=0)[::-1] if good else (0, 0) for ink, good in zip(inks, seen, strict=True)]
    )
    return np.diff(centres, axis=0)[seen[1:] & seen[:-1]]


def _mean_frame(frames):
    return cv2.resize(frames.mean(axis=0, dtype=np.float32), (16, 12), interpolation=cv2.INTER_AREA).ravel()
