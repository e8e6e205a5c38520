"""Views of several windows of an opened video equal those of each window by itself."""

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


@pytest.mark.parametrize("at_once", [1, 12, 128])
def test_sharing_frames_between_windows_does_not_change_their_views(video, at_once, monkeypatch):
    monkeypatch.setattr(eval_views, "_FRAMES_AT_ONCE", at_once)
    with Video(video) as opened:
        together = list(window_views(opened, RECIPE, WINDOWS))
    assert len(together) == len(WINDOWS)
    for window, views in zip(WINDOWS, together, strict=True):
        np.testing.assert_array_equal(views, protocol_views(video, RECIPE, window))


def test_views_are_the_crops_of_each_clip_in_turn(video):
    square = ClipRecipe(
        num_frames=4, stride=3, image_size=32, clips=2, crops=3
    )  # no resize: 44 wide, crops at 0, 6, 12
    views = protocol_views(video, square)
    for clip, first in enumerate((0, 30)):  # 14 frames remain after the stride; starts 0 and 10
        frames = read_frames(video, [first, first + 3, first + 6, first + 9])
        for crop, left in enumerate((0, 6, 12)):
            np.testing.assert_array_equal(views[3 * clip + crop], frames[:, :, left : left + 32])
