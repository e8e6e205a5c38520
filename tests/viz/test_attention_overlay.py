"""Attention maps are laid over the frames that they belong to."""

import numpy as np
import pytest
from PIL import Image

from vidjax.viz.attention import draw_maps, overlay


def test_red_is_where_a_map_is_highest_and_blue_where_it_is_lowest_in_a_cubes_frames():
    clip = np.full((4, 32, 32, 3), 128, np.uint8)
    maps = np.full((2, 4, 4), 0.5)
    maps[1, 3, 3], maps[0, 0, 0] = 0.9, 0.1
    found = overlay(clip, maps)
    assert found.shape == (4, 32, 32, 3)
    assert found.min() >= 0
    assert found.max() <= 1
    red, _, blue = found[2:, 30, 30].T
    assert (red > blue + 0.2).all()
    assert (
        np.abs(found[0, 30, 30] - found[0, 16, 16]) < 0.02
    ).all()  # the other cube of these frames looks like all others
    red, _, blue = found[:2, 1, 1].T
    assert (blue > red).all()


def test_the_frame_under_a_map_stays_visible_in_grey():
    clip = np.zeros((1, 16, 16, 3), np.uint8)
    clip[:, 8:] = (255, 0, 0)
    found = overlay(clip, np.ones((1, 2, 2)))
    difference = found[0, 12, 8] - found[0, 4, 8]
    assert difference.min() > 0.1
    assert np.ptp(difference) < 1e-6


@pytest.mark.parametrize("most", [1.0, 1e6])
def test_one_cube_that_draws_all_attention_does_not_hide_the_others(most):
    rng = np.random.default_rng(0)
    maps = rng.random((4, 14, 14))
    clip = np.zeros((4, 28, 28, 3), np.uint8)
    usual = overlay(clip, maps)
    maps[0, 0, 0] = most
    assert np.abs(overlay(clip, maps)[2] - usual[2]).max() < 0.1


def test_maps_are_drawn_beside_the_clip_with_small_frames_enlarged(tmp_path):
    clip = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
    files = draw_maps(clip, {"roll-out": np.eye(3)[None], "space, layer 12, head 3": np.ones((2, 3, 3))}, tmp_path)
    assert [path.name for path in files] == ["attention.png", "attention.gif", "attention.mp4"]
    assert Image.open(files.gif).width > 3 * 144
