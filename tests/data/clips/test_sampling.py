"""Frame numbers of clips, compared with hand-written protocols and with the authors' code restated here."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import SAMPLINGS, eval_indices, train_indices

RNG = np.random.default_rng(0)
FPS = 30.0


def many(frames, fps=FPS, **data):
    return [train_indices(frames, fps, DataConfig(**data), RNG) for _ in range(400)]


@given(
    frames=st.integers(1, 400),
    t=st.integers(1, 32),
    stride=st.integers(1, 8),
    sampling=st.sampled_from(list(SAMPLINGS)),
    clips=st.integers(1, 7),
    fps=st.sampled_from([12.0, 25.0, 29.97, 60.0]),
)
def test_every_clip_has_its_frames_in_order_and_inside_the_video(frames, t, stride, sampling, clips, fps):
    clip = {"num_frames": t, "stride": stride, "sampling": sampling}
    train, test = DataConfig(**clip), ClipRecipe(**clip, clips=clips)
    for indices in (train_indices(frames, fps, train, RNG)[None], eval_indices(frames, fps, test)):
        assert indices.shape[1:] == (t,)
        assert indices.dtype == np.int64
        assert indices.min() >= 0
        assert indices.max() < frames
        if not (SAMPLINGS[sampling].loops and frames < t * stride):
            assert (np.diff(indices, axis=1) >= 0).all()


def test_dense_takes_every_stride_th_frame_of_any_window():
    clips = many(70, num_frames=16, stride=4)
    assert all((np.diff(clip) == 4).all() for clip in clips)
    assert {clip[0] for clip in clips} == set(range(7))  # 70 - 16 * 4 + 1 places


def test_dense_repeats_the_last_frame_of_a_short_video():
    np.testing.assert_array_equal(many(10, num_frames=5, stride=4)[0], [0, 4, 8, 9, 9])


def test_dense_span_reaches_from_one_end_of_the_window_to_the_other():
    starts = set()
    for clip in many(70, num_frames=16, stride=4, sampling="dense_span"):
        assert clip[-1] - clip[0] == 63  # 16 frames over 64, both ends included
        starts.add(clip[0])
    assert starts == set(range(6))  # `randint(64, 70)` draws the end, which is never 70


def test_dense_span_spreads_a_short_video_and_then_repeats_its_last_frame():
    # 8 // 2 = 4 frames over [0, 8], then the last
    np.testing.assert_array_equal(many(8, num_frames=6, stride=2, sampling="dense_span")[0], [0, 2, 5, 7, 7, 7])


def test_segment_takes_any_frame_of_each_equal_segment():
    clips = np.stack(many(40, num_frames=4, sampling="segment"))
    for segment in range(4):
        assert set(clips[:, segment]) == set(range(10 * segment, 10 * segment + 10))


@pytest.mark.parametrize("sampling", ["dense", "dense_span"])
def test_kinetics_test_clips_are_spread_over_the_thinned_video(sampling):
    recipe = ClipRecipe(num_frames=16, stride=4, sampling=sampling, clips=5)
    clips = eval_indices(300, FPS, recipe)  # 75 frames remain; starts 0, 14.75, 29.5, 44.25, 59 rounded down
    np.testing.assert_array_equal(clips[:, 0], 4 * np.array([0, 14, 29, 44, 59]))
    assert (np.diff(clips, axis=1) == 4).all()
    assert eval_indices(300, FPS, recipe.one_view())[0, 0] == 4 * 29


def test_something_test_clips_interleave_starts_and_middles_of_segments():
    recipe = ClipRecipe(num_frames=4, sampling="segment", clips=2)
    np.testing.assert_array_equal(eval_indices(80, FPS, recipe), [[0, 20, 40, 60], [10, 30, 50, 70]])
    np.testing.assert_array_equal(eval_indices(80, FPS, recipe.one_view()), [[10, 30, 50, 70]])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_video_of_one_frame_repeats_it(sampling):
    data = DataConfig(num_frames=4, sampling=sampling)
    assert (train_indices(1, FPS, data, RNG) == 0).all()
    assert (eval_indices(1, FPS, ClipRecipe(num_frames=4, sampling=sampling, clips=3)) == 0).all()


def drawn(low, high, unit):
    """The integer from low to high, both included, at position `unit` in [0, 1)."""
    return low + int(unit * (high - low + 1))


class Draws:
    """A generator with given draws: `integers` and `uniform` return the position in their range given by `units`."""

    def __init__(self, units):
        self.units = np.asarray(units)

    def integers(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        units = self.units if size is not None or np.ndim(low) else self.units[0]
        return low + np.floor(units * (np.asarray(high) - low)).astype(np.int64)

    def uniform(self, low, high):
        return low + self.units[0] * (high - low)


LENGTHS = [1, 2, 5, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 157, 250, 300, 301]


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize(("t", "stride"), [(16, 4), (16, 2)])
def test_dense_span_is_videomaes_fine_tuning(frames, t, stride):
    """kinetics.py:251-265, with num_segment = 1; the only draw is `randint(window, frames)`, end excluded."""
    window = t * stride
    for unit in (0.0, 0.3, 0.99):
        if frames <= window:
            spread = np.linspace(0, frames, num=frames // stride)
            theirs = np.concatenate((spread, np.ones(t - frames // stride) * frames)).clip(0, frames - 1)
        else:
            end = drawn(window, frames - 1, unit)
            theirs = np.linspace(end - window, end, num=t).clip(end - window, end - 1)
        data = DataConfig(num_frames=t, stride=stride, sampling="dense_span")
        ours = train_indices(frames, FPS, data, Draws([unit]))
        np.testing.assert_array_equal(ours, theirs.astype(np.int64))


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("t", [8, 16])
def test_integer_segments_are_those_of_videomae_and_videomamba_on_something(frames, t):
    """VideoMAE ssv2.py:251-257 and VideoMamba ssv2.py:587-593; what remains after t segments is left out."""
    units = np.random.default_rng(frames).random(t)
    length = frames // t
    theirs = [place * length + drawn(0, length - 1, unit) for place, unit in enumerate(units)] if length else [0] * t
    data = DataConfig(num_frames=t, sampling="segment_integer")
    np.testing.assert_array_equal(train_indices(frames, FPS, data, Draws(units)), theirs)
    assert max(theirs) <= max(t * length - 1, 0)


@pytest.mark.parametrize("sampling", ["segment", "segment_integer"])
@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("t", [8, 16])
def test_something_test_clips_equal_the_authors(frames, t, sampling):
    """ssv2.py:238-247: clip k takes every second one, from k, of the sorted starts and middles of all segments."""
    tick = frames / float(t)
    middles = [int(tick / 2.0 + tick * place) for place in range(t)]
    every = np.sort(middles + [int(tick * place) for place in range(t)])
    recipe = ClipRecipe(num_frames=t, sampling=sampling, clips=2)
    np.testing.assert_array_equal(eval_indices(frames, FPS, recipe), [every[::2], every[1::2]])
    np.testing.assert_array_equal(eval_indices(frames, FPS, recipe.one_view()), [middles])  # VideoMamba ssv2.py:581


@pytest.mark.parametrize("sampling", ["segment_rounded", "segment_middle"])
@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("t", [8, 16, 64])
def test_rounded_segments_are_those_of_videomamba_on_kinetics(frames, t, sampling):
    """kinetics_sparse.py:241-246; TimeSformer's ssv2.py:225-231 is the same in training."""
    segment = max(0.0, float(frames - 1) / t)
    units, theirs = np.random.default_rng(frames).random(t), []
    for place, unit in enumerate(units):
        start, end = int(np.round(segment * place)), int(np.round(segment * (place + 1)))
        theirs.append(min(drawn(start, end, unit), frames - 1))
    data = DataConfig(num_frames=t, sampling=sampling)
    np.testing.assert_array_equal(train_indices(frames, FPS, data, Draws(units)), theirs)


@pytest.mark.parametrize("clips", [1, 3, 4])
@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("t", [8, 16, 64])
def test_test_clips_of_rounded_segments_lie_inside_them(frames, t, clips):
    """kinetics_sparse.py:248-258: clip k is (k + 1) / (clips + 1) of the way into each segment."""
    segment = max(0.0, float(frames - 1) / t)
    step, theirs = segment / (clips + 1), []
    for clip in range(clips):
        starts = [int(np.round(segment * place)) for place in range(t)]
        theirs.append([min(start + int(step * (clip + 1)), frames - 1) for start in starts])
    recipe = ClipRecipe(num_frames=t, sampling="segment_rounded", clips=clips)
    np.testing.assert_array_equal(eval_indices(frames, FPS, recipe), theirs)


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("t", [8, 16, 64])
def test_timesformers_test_on_something_takes_the_middle_of_rounded_segments(frames, t):
    """ssv2.py:225-233: one clip, `(start + end) // 2`."""
    segment = float(frames - 1) / t
    ends = [(int(np.round(segment * place)), int(np.round(segment * (place + 1)))) for place in range(t)]
    recipe = ClipRecipe(num_frames=t, sampling="segment_middle")
    np.testing.assert_array_equal(eval_indices(frames, FPS, recipe), [[(start + end) // 2 for start, end in ends]])


TIMESFORMERS = [(8, 32), (16, 16), (96, 4)]  # base, hr and large
RATES = [10, 12.5, 15, 24, 24000 / 1001, 25, 29.97, 30000 / 1001, 30, 50, 60]


def timesformers_decode(frames, fps, t, stride, place):
    """decoder.py:260-297 and 383-392 for a video whose frame i is shown at i * 512 ticks; `place`: 0 to 1."""
    tick, clip_size = 512, stride * t / 30 * fps
    start = max(frames - clip_size, 0) * place
    start_pts, end_pts = int(start * tick), int((start + clip_size - 1) * tick)
    decoded = []  # the frames shown between the two, and one more
    for frame in range(frames):
        if frame * tick >= start_pts:
            decoded.append(frame)
            if frame * tick > end_pts:
                break
    index = torch.clamp(torch.linspace(0, clip_size - 1, t), 0, len(decoded) - 1).long()
    return np.array(decoded)[index.numpy()]


@pytest.mark.parametrize(("t", "stride"), TIMESFORMERS)
@pytest.mark.parametrize("fps", RATES)
def test_timesformers_window_is_in_seconds(t, stride, fps):
    data = DataConfig(num_frames=t, stride=stride, sampling="seconds")
    for frames in (1, 40, 150, 250, 300, 600, 1000):
        for place in (0.0, 0.25, 0.5, 0.8):
            theirs = timesformers_decode(frames, fps, t, stride, place)
            np.testing.assert_array_equal(train_indices(frames, fps, data, Draws([place])), theirs)
        for clips in (1, 2, 4):
            recipe = ClipRecipe(num_frames=t, stride=stride, sampling="seconds", clips=clips)
            theirs = [timesformers_decode(frames, fps, t, stride, clip / clips) for clip in range(clips)]
            np.testing.assert_array_equal(eval_indices(frames, fps, recipe), theirs)


def test_a_window_in_seconds_holds_more_frames_of_a_faster_video():
    slow, fast = (eval_indices(900, fps, ClipRecipe(num_frames=8, stride=32, sampling="seconds")) for fps in (30, 60))
    assert slow[0, -1] == 255
    assert fast[0, -1] == 511
    recipe = ClipRecipe(num_frames=8, stride=32, sampling="seconds")
    assert recipe.words == "8 frames (every 32nd frame of the video at 30 fps)"


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize(("t", "stride"), [(32, 2), (32, 1)])
def test_loops_equal_dmvrs(frames, t, stride):
    """`sample_sequence` and `sample_linspace_sequence`, dmvr/processors.py:29-190: the indices of the sequence are
    tiled until there are enough of them."""
    tiled = np.tile(np.arange(frames), t * stride // frames + 2)

    def steps(offset):
        return tiled[offset : offset + t * stride : stride]

    data = DataConfig(num_frames=t, stride=stride, sampling="dense_loop")
    for unit in (0.0, 0.5, 0.99):
        offset = drawn(0, max(frames - (t - 1) * stride, 1) - 1, unit)
        np.testing.assert_array_equal(train_indices(frames, FPS, data, Draws([unit])), steps(offset))
    recipe = ClipRecipe(num_frames=t, stride=stride, sampling="dense_loop", clips=4)
    room = max(0, frames - t * stride)
    offsets = np.array([np.float32(room) * np.float32(place) / np.float32(3) for place in range(4)]).astype(int)
    np.testing.assert_array_equal(eval_indices(frames, FPS, recipe), [steps(offset) for offset in offsets])
    np.testing.assert_array_equal(eval_indices(frames, FPS, recipe.one_view()), [steps(room // 2)])


def test_a_clip_of_segments_has_a_window_in_each_part_of_the_video():
    """As `video_dataset.py:324` of V-JEPA 2: two parts of 40 frames, a window of 16 anywhere in each."""
    starts = set()
    for clip in many(80, num_frames=8, segments=2, stride=4, sampling="dense_span"):
        first, second = clip[:4], clip[4:] - 40
        assert first[-1] - first[0] == second[-1] - second[0] == 15
        starts.add((first[0], second[0]))
    assert {first for first, _ in starts} == {second for _, second in starts} == set(range(24))
    assert len(starts) > 100  # drawn apart


def test_segments_of_a_short_video_overlap():
    """Parts of 10 frames are too short for windows of 16, which then lie at the start and at the end."""
    for clip in many(20, num_frames=8, segments=2, stride=4):
        np.testing.assert_array_equal(clip, [0, 4, 8, 12, 4, 8, 12, 16])


def test_test_clips_of_segments_are_evenly_spaced_and_interleave():
    recipe = ClipRecipe(num_frames=6, segments=3, stride=2)
    np.testing.assert_array_equal(eval_indices(20, FPS, recipe), [[0, 2, 8, 10, 16, 18]])
    halves = ClipRecipe(num_frames=4, segments=2, stride=2, clips=2)  # windows at 0, 4, 10 and 16
    np.testing.assert_array_equal(eval_indices(20, FPS, halves), [[0, 2, 10, 12], [4, 6, 16, 18]])


def test_segments_count_in_time_as_whole_clips_do():
    """At 60 frames per second, every 12th frame is shown at 5 per second."""
    recipe = ClipRecipe(num_frames=4, segments=2, fps=5.0)
    found = eval_indices(120, 60.0, recipe)
    np.testing.assert_array_equal(found[:, 1::2] - found[:, ::2], [[12, 12]])
    assert found[0, 0] == 0
    assert found[0, -1] >= 106
