"""Views of several windows of an opened video equal those of each window by itself."""

import weakref

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.data.clips import eval_views
from vidjax.data.clips.eval_views import protocol_views, window_views
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.video.decode import Video, read_frames

RECIPE = ClipRecipe(num_frames=4, stride=3, image_size=24, interpolation="bicubic", clips=2, crops=3)
WINDOWS = [(0.0, 0.8), (0.4, 1.2), (0.8, 1.6), (0.0, 1.6), (1.2, 1.6)]


@pytest.fixture(scope="module")
def video():
    return encode(moving_texture(40, 32, 44), rate=25)


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 4], [1, 2], [3, 0, 4]])
def test_sharing_frames_between_windows_does_not_change_their_views(video, places):
    windows = [WINDOWS[place] for place in places]
    with Video(video) as opened:
        together = list(window_views(opened, RECIPE, windows))
    assert len(together) == len(windows)
    for window, views in zip(windows, together, strict=True):
        np.testing.assert_array_equal(views, protocol_views(video, RECIPE, window))


def test_each_frame_of_overlapping_windows_is_decoded_and_resized_once(video, monkeypatch):
    resized, crops = [], eval_views.eval_crops
    monkeypatch.setattr(eval_views, "eval_crops", lambda frames, recipe: resized.append(1) or crops(frames, recipe))
    windows = [(start / 25, start / 25 + 0.8) for start in range(0, 20, 2)]
    recipe = ClipRecipe(num_frames=4, stride=4, image_size=24)
    with Video(video) as opened:
        played = []
        play = opened._play
        monkeypatch.setattr(opened, "_play", lambda *what: (played.append(frame) or frame for frame in play(*what)))
        assert len(list(window_views(opened, recipe, windows))) == 10
    assert len(played) == len({frame.pts for frame in played}) <= 40
    assert len(resized) == 16  # frames 2, 4, ..., 32: the central four of every fourth of each window's twenty


def test_frames_are_dropped_when_the_last_window_has_used_them(monkeypatch):
    """A long video with short windows must not fill the memory: no more than two windows' frames are held."""
    alive, most = set(), 0

    class Frames:
        frames, fps = 4000, 25.0

        def iterate(self, numbers):
            for number in numbers:
                yield number, np.zeros((8, 8, 3), np.uint8)

    def crop(frames, recipe):
        nonlocal most
        made = np.zeros((1, 1, 8, 8, 3), np.uint8)
        alive.add(id(made))
        weakref.finalize(made, alive.discard, id(made))
        most = max(most, len(alive))
        return made

    monkeypatch.setattr(eval_views, "eval_crops", crop)
    recipe = ClipRecipe(num_frames=4, stride=1, image_size=8)
    windows = [(start / 25, (start + 4) / 25) for start in range(0, 3996, 2)]
    assert sum(1 for _ in window_views(Frames(), recipe, windows)) == 1998
    assert most <= 8


def test_views_are_the_crops_of_each_clip_in_turn(video):
    square = ClipRecipe(
        num_frames=4, stride=3, image_size=32, clips=2, crops=3
    )  # no resize: 44 wide, crops at 0, 6, 12
    views = protocol_views(video, square)
    for clip, first in enumerate((0, 30)):  # 14 frames remain after the stride; starts 0 and 10
        frames = read_frames(video, [first, first + 3, first + 6, first + 9])
        for crop, left in enumerate((0, 6, 12)):
            np.testing.assert_array_equal(views[3 * clip + crop], frames[:, :, left : left + 32])
