"""Resizing as the authors of each recipe do it."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from vidjax.data.clips.resize import resize

CLIP = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)
SIZES = [(45, 60), (41, 77), (90, 100), (30, 30), (60, 50)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pretraining_crops_are_resized_as_pillow_does_to_the_bit(size):
    """VideoMAE's `GroupMultiScaleCrop` resizes crops that are Pillow's pictures with BILINEAR (transforms.py:99)."""
    height, width = size
    expected = [Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR) for frame in CLIP]
    np.testing.assert_array_equal(resize(CLIP, size, "bilinear_antialias"), np.stack(expected))


def test_antialiasing_weighs_every_pixel_by_a_tent_as_wide_as_the_shrinking():
    """Written out for a row: each pixel is a mean of those within `shrunk` of its centre, by distance."""
    row = CLIP[:1, :1]  # (1 1 80 3)
    shrunk = 80 / 50
    centers = (np.arange(50) + 0.5) * shrunk
    tents = np.maximum(0, 1 - np.abs(np.arange(80) + 0.5 - centers[:, None]) / shrunk)
    expected = np.einsum("nw,wc->nc", tents / tents.sum(1, keepdims=True), row[0, 0].astype(float))
    found = resize(row, (1, 50), "bilinear_antialias")[0, 0]
    assert np.abs(found - expected).max() <= 0.51
    floats = resize(row.astype(np.float32), (1, 50), "bilinear_antialias")[0, 0]
    np.testing.assert_allclose(floats, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(45, 60), (41, 77), (90, 100), (60, 50)], ids=str)
def test_fine_tuning_crops_are_resized_as_pytorch_does_without_antialiasing(size):
    """VideoMAE's `random_resized_crop` calls `interpolate(mode="bilinear", align_corners=False)` on floats
    (video_transforms.py:568); here pixels are uint8, so that the two may differ by their rounding."""
    floats = torch.from_numpy(CLIP).permute(0, 3, 1, 2).float()
    theirs = torch.nn.functional.interpolate(floats, size=size, mode="bilinear", align_corners=False)
    ours = resize(CLIP, size, "bilinear")
    assert np.abs(ours - theirs.permute(0, 2, 3, 1).numpy()).max() < 1
    cubic = resize(CLIP, size, "bicubic")
    assert np.abs(cubic - theirs.permute(0, 2, 3, 1).numpy()).max() > 10


@pytest.mark.parametrize("size", [(45, 60), (90, 100)], ids=str)
def test_test_frames_are_resized_as_opencv_does_to_the_bit(size):
    """VideoMAE and VideoMamba test on frames that `cv2.INTER_LINEAR` resized (kinetics.py:64, functional.py:38)."""
    expected = np.stack([cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR) for frame in CLIP])
    np.testing.assert_array_equal(resize(CLIP, size, "bilinear"), expected)
