"""Resized positions, compared with the interpolations that the authors call."""

import numpy as np
import pytest
from scipy import ndimage

from vidjax.weights.resize_positions import resample

torch = pytest.importorskip("torch", reason="the oracle is PyTorch's interpolate (extra: test)")


def table(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("size", [(14, 14), (7, 5), (3, 9), (1, 1), (6, 4)])
@pytest.mark.parametrize(("method", "mode"), [("nearest", "nearest"), ("linear", "bilinear"), ("cubic", "bicubic")])
def test_two_axes_are_resized_as_by_pytorch(method, mode, size):
    old = table(6, 4, 3)
    corners = {} if mode == "nearest" else {"align_corners": False}
    pixels = torch.from_numpy(old).double().permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(pixels, size=size, mode=mode, **corners)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(resample(old, size, (method, method)), theirs, atol=2e-6)


@pytest.mark.parametrize("frames", [16, 32, 5, 4, 1])
def test_frames_are_resized_as_by_pytorch(frames):
    old = table(8, 3)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(old).double().T[None], size=frames, mode="linear")[
        0
    ].T.numpy()
    np.testing.assert_allclose(resample(old, (frames,), ("linear",)), theirs, atol=2e-6)


@pytest.mark.parametrize("size", [(4, 9, 7), (2, 6, 6), (3, 5, 4)])
def test_scenics_zoom_keeps_the_corners(size):
    old = table(2, 5, 4, 3)
    zoom = [new / before for new, before in zip((*size, 3), old.shape, strict=True)]
    theirs = ndimage.zoom(old, zoom, order=1)
    np.testing.assert_allclose(resample(old, size, ("linear, corners kept",) * 3), theirs, atol=2e-6)
