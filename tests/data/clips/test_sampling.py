"""Frame numbers of clips, against the protocols written out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import eval_indices, train_indices

RNG = np.random.default_rng(0)


def many(frames, **data):
    return [train_indices(frames, DataConfig(**data), RNG) for _ in range(400)]


@given(
    frames=st.integers(1, 400),
    t=st.integers(1, 32),
    stride=st.integers(1, 8),
    sampling=st.sampled_from(["dense", "dense_span", "segment"]),
    clips=st.integers(1, 7),
)
def test_every_clip_has_its_frames_in_order_and_inside_the_video(frames, t, stride, sampling, clips):
    clip = {"num_frames": t, "stride": stride, "sampling": sampling}
    train, test = DataConfig(**clip), ClipRecipe(**clip, clips=clips)
    for indices in (train_indices(frames, train, RNG)[None], eval_indices(frames, test)):
        assert indices.shape[1:] == (t,)
        assert indices.dtype == np.int64
        assert indices.min() >= 0
        assert indices.max() < frames
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
    assert starts == set(range(7))


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
    clips = eval_indices(300, recipe)  # 75 frames are left; starts 0, 14.75, 29.5, 44.25, 59 rounded down
    np.testing.assert_array_equal(clips[:, 0], 4 * np.array([0, 14, 29, 44, 59]))
    assert (np.diff(clips, axis=1) == 4).all()
    assert eval_indices(300, recipe.one_view())[0, 0] == 4 * 29


def test_something_test_clips_interleave_starts_and_middles_of_segments():
    recipe = ClipRecipe(num_frames=4, sampling="segment", clips=2)
    np.testing.assert_array_equal(eval_indices(80, recipe), [[0, 20, 40, 60], [10, 30, 50, 70]])
    np.testing.assert_array_equal(eval_indices(80, recipe.one_view()), [[10, 30, 50, 70]])


@pytest.mark.parametrize("sampling", ["dense", "dense_span", "segment"])
def test_a_video_of_one_frame_repeats_it(sampling):
    data = DataConfig(num_frames=4, sampling=sampling)
    assert (train_indices(1, data, RNG) == 0).all()
    assert (eval_indices(1, ClipRecipe(num_frames=4, sampling=sampling, clips=3)) == 0).all()
