"""Resizing matches that of each recipe's authors."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from vidjax.data.clips.resize import resize

CLIP = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)
SIZES = [(45, 60), (41, 77), (90, 100), (30, 30), (60, 50)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pretraining_crops_are_resized_as_by_pillow_bit_for_bit(size):
    """VideoMAE's `GroupMultiScaleCrop` resizes crops, which are Pillow images, with BILINEAR (transforms.py:99)."""
    height, width = size
    expected = [Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR) for frame in CLIP]
    np.testing.assert_array_equal(resize(CLIP, size, "bilinear_antialias"), np.stack(expected))


def test_antialiasing_weights_pixels_by_a_tent_scaled_by_the_shrink_factor():
    """Written out for a row: each pixel is a mean of those within `shrunk` of its centre, weighted by distance."""
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
def test_fine_tuning_crops_are_resized_as_by_pytorch_without_antialiasing(size):
    """VideoMAE's `random_resized_crop` calls `interpolate(mode="bilinear", align_corners=False)` on floats
    (video_transforms.py:568); here pixels are uint8, so the two may differ by rounding."""
    floats = torch.from_numpy(CLIP).permute(0, 3, 1, 2).float()
    theirs = torch.nn.functional.interpolate(floats, size=size, mode="bilinear", align_corners=False)
    ours = resize(CLIP, size, "bilinear")
    assert np.abs(ours - theirs.permute(0, 2, 3, 1).numpy()).max() < 1
    cubic = resize(CLIP, size, "bicubic")
    assert np.abs(cubic - theirs.permute(0, 2, 3, 1).numpy()).max() > 10


@pytest.mark.parametrize("size", [(45, 60), (90, 100)], ids=str)
def test_test_frames_are_resized_as_by_opencv_bit_for_bit(size):
    """VideoMAE and VideoMamba resize test frames with `cv2.INTER_LINEAR` (kinetics.py:64, functional.py:38)."""
    expected = np.stack([cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR) for frame in CLIP])
    np.testing.assert_array_equal(resize(CLIP, size, "bilinear"), expected)
