"""Clips at a rate in seconds (data.fps): videos with known timestamps, worked out by hand."""

import dataclasses

import numpy as np
import pytest
from videos import encode

from vidjax.config import DataConfig, EvalConfig
from vidjax.data.clips.checks import check_clips
from vidjax.data.clips.eval_views import protocol_views
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.clips.sampling import eval_indices, train_indices
from vidjax.data.clips.ssl_views import view_indices
from vidjax.data.loader import train_batches
from vidjax.data.prepare.encode import Encoding
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.data.sources.windows import windows_of
from vidjax.data.video.decode import Video
from vidjax.errors import ConfigError

DENSE = ("dense", "dense_span", "dense_loop")
# Ten frames in the first second, one picture for two seconds, twenty frames in the last second.
MILLISECONDS = [*range(0, 1000, 100), 1000, *range(3000, 4000, 50)]
TIMES = np.array([*MILLISECONDS, 4000]) / 1000
RATE = 31 / 4
BY_HAND = [0, 2, 5, 7, 10, 10, 10, 10, 10, 10, 10, 10, 11, 16, 21, 26]  # every quarter second, from 0 to 3.75 s


def shown(second: float) -> int:
    """The frame of this video at a moment: the nearest that has begun, or begins within half of a usual 50 ms."""
    number = max(number for number, time in enumerate(TIMES[:-1]) if time <= second + 1e-9)
    until = TIMES[number + 1] - second
    return number + bool(number < 30 and until <= 0.025 + 1e-9 and until < second - TIMES[number] - 1e-9)


@pytest.fixture(scope="module")
def uneven():
    """The video of `TIMES`; frame i is a plain grey of 8 * i."""
    frames = np.stack([np.full((32, 32, 3), 8 * number, np.uint8) for number in range(31)])
    return encode(frames, "matroska", options={"crf": "4"}, times=MILLISECONDS)


def numbers(clip: np.ndarray) -> list[int]:
    """The frame numbers that a clip's greys stand for."""
    return np.round(clip.reshape(len(clip), -1).mean(1) / 8).astype(int).tolist()


@pytest.mark.parametrize("sampling", DENSE)
@pytest.mark.parametrize(("rate", "stride"), [(24.0, 6), (25.0, 5), (30.0, 1), (30000 / 1001, 7), (60.0, 15)])
def test_at_an_even_rate_frames_per_second_are_a_stride(sampling, rate, stride):
    by_stride = DataConfig(num_frames=8, stride=stride, sampling=sampling)
    by_rate = dataclasses.replace(by_stride, stride=1, fps=rate / stride)
    for frames in (1, 7, 60, 200, 301):
        for seed in range(20):
            draws = [np.random.default_rng(seed) for _ in range(2)]
            wanted = train_indices(frames, rate, by_stride, draws[0])
            np.testing.assert_array_equal(train_indices(frames, rate, by_rate, draws[1]), wanted)
        recipes = [ClipRecipe.of(data, EvalConfig(clips=3)) for data in (by_stride, by_rate)]
        np.testing.assert_array_equal(*[eval_indices(frames, rate, recipe) for recipe in recipes])


def test_a_rate_that_does_not_divide_the_videos_takes_the_frame_of_each_moment():
    data = DataConfig(num_frames=8, fps=4)
    clips = np.stack([train_indices(300, 30.0, data, np.random.default_rng(seed)) for seed in range(300)])
    due = clips[:, :1] + 7.5 * np.arange(8)
    assert np.abs(clips - due).max() <= 1  # the start and each frame are within half a frame of their moments
    assert (clips[:, -1] - clips[:, 0]).min() >= 52  # 7 quarters of a second are 52.5 frames; a stride of 7 gives 49
    assert clips[:, 0].min() < 5
    assert clips[:, 0].max() > 230  # 300 - 60 frames


@pytest.mark.parametrize("rate", [2.0, 4.0, 24.0, 30.0, 144.0])
def test_a_clip_spans_the_same_seconds_at_every_rate_of_the_video(rate):
    frames = round(20 * rate)
    for seed in range(50):
        clip = train_indices(frames, rate, DataConfig(num_frames=16, fps=4), np.random.default_rng(seed))
        assert clip[-1] / rate - clip[0] / rate == pytest.approx(3.75, abs=1 / rate)


def test_a_video_shorter_than_the_clip_repeats_its_last_frame():
    clip = train_indices(30, 30.0, DataConfig(num_frames=8, fps=5), np.random.default_rng(0))
    np.testing.assert_array_equal(clip, [0, 6, 12, 18, 24, 29, 29, 29])


def test_uneven_times_are_followed():
    recipe = ClipRecipe(num_frames=16, fps=4)
    np.testing.assert_array_equal(eval_indices(31, RATE, recipe, TIMES), [BY_HAND])
    for clips in (1, 2, 5):
        recipe = ClipRecipe(num_frames=4, fps=4, clips=clips)
        quarters = [6] if clips == 1 else [12 * clip // (clips - 1) for clip in range(clips)]
        wanted = [[BY_HAND[first + place] for place in range(4)] for first in quarters]
        np.testing.assert_array_equal(eval_indices(31, RATE, recipe, TIMES), wanted)


def test_training_starts_at_any_moment_of_an_uneven_video():
    data, rng = DataConfig(num_frames=4, fps=4), np.random.default_rng(0)
    found = {tuple(train_indices(31, RATE, data, rng, TIMES).tolist()) for _ in range(400)}
    # 7.75 frames per second are nearest to 8, so that starts are eighths of a second, from 0 to 3 s.
    assert found == {tuple(shown(start / 8 + place / 4) for place in range(4)) for start in range(25)}


def test_views_for_self_distillation_lie_in_a_window_of_seconds():
    data = DataConfig(num_frames=8, fps=4, global_views=(4, 4), local_views=(2,), local_span=0.5)
    for seed in range(50):
        first, second, local = view_indices(31, RATE, data, np.random.default_rng(seed), TIMES)
        moments = [{moment for moment in range(32) if shown(moment / 8) == view[0]} for view in (first, local)]
        assert min(moments[1]) - max(moments[0]) <= 16
        assert TIMES[second[-1]] - TIMES[first[0]] <= 2 + 2  # two seconds, and the picture that stays for two


@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
def test_a_training_batch_has_the_frames_of_the_files_own_timestamps(uneven, cache_gb):
    data = DataConfig(num_frames=16, fps=4, image_size=32, crop="center", global_batch=2, workers=0, cache_gb=cache_gb)
    source = InMemorySource("grey", [Row(uneven, 0, "grey")] * 2, labels=("grey",))
    batches = train_batches(source, data, seed=0)
    for _ in range(2):  # the second time, frames may come from the cache
        assert [numbers(clip) for clip in next(batches)["video"]] == [BY_HAND] * 2
    batches.close()


def test_records_keep_uneven_times(uneven):
    stored, info = Encoding(short_side=32, crf=4).encode(uneven)
    with Video(stored) as video:
        np.testing.assert_allclose(video.times, TIMES, atol=2e-5)
    assert info.frames == 31
    for file in (uneven, stored):
        [clip] = protocol_views(file, ClipRecipe(num_frames=16, fps=4, image_size=32))
        assert numbers(clip) == BY_HAND
    again, _ = Encoding(short_side=32, crf=4).encode(uneven)
    assert again == stored


def test_a_window_is_sampled_by_its_own_times(uneven):
    recipe = ClipRecipe(num_frames=4, fps=4, image_size=32)
    with Video(uneven) as video:
        window = 11 / video.fps, 31 / video.fps  # frames 11 to 30, the last second
    [clip] = protocol_views(uneven, recipe, window)
    assert numbers(clip) == [11, 16, 21, 26]


def test_sliding_windows_last_as_long_as_a_clip():
    recipe = ClipRecipe(num_frames=4, fps=4, windows=Windows(seconds=1.0))
    found = windows_of(TIMES, RATE, recipe)
    # From 1 and from 2 s the picture stays, so these are one window.
    assert found.seconds.tolist() == [[0, 1], [1, 3], [3, 4]]
    assert [(round(a * RATE), round(b * RATE)) for a, b in found.windows] == [(0, 10), (10, 11), (11, 31)]
    spaced = windows_of(np.arange(101) / 10, 10.0, ClipRecipe(num_frames=4, fps=4, windows=Windows(count=4)))
    assert spaced.seconds.tolist() == [[0, 1], [3, 4], [6, 7], [9, 10]]
    one = windows_of(np.arange(101) / 10, 10.0, ClipRecipe(num_frames=4, fps=4, windows=Windows()))
    assert one.seconds.tolist() == [[4.5, 5.5]]


def test_a_recipe_says_how_long_a_clip_is():
    recipe = ClipRecipe(num_frames=16, fps=4)
    assert recipe.words == "16 frames, 4 per second"
    assert (recipe.seconds, ClipRecipe().seconds) == (4.0, 0.0)
    assert (recipe.covers(1000, 30.0), recipe.span(30.0)) == (120, 113)
    assert recipe.sample(DataConfig()).fps == 4


@pytest.mark.parametrize("sampling", ["segment", "segment_integer", "seconds"])
def test_a_sampling_that_sets_the_distance_itself_is_refused(sampling):
    with pytest.raises(ConfigError, match=rf"data.fps=4 .* data.sampling={sampling}, .*use one of dense, dense_span"):
        check_clips(DataConfig(fps=4, sampling=sampling))
