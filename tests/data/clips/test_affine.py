"""Affine transforms of clips, compared with Pillow's for each frame."""

import itertools

import numpy as np
import pytest
from PIL import Image

from vidjax.data.clips.affine import affine

FILL = (128, 10, 250)
MATRICES = {
    "nowhere": (1, 0, 0, 0, 1, 0),
    "along rows by whole pixels": (1, 0, 7, 0, 1, 0),
    "along rows by almost whole pixels": (1, 0, np.nextafter(7, 0), 0, 1, 0),
    "along rows by a half": (1, 0, -6.5, 0, 1, 0),
    "along rows by 3.025, from the third row": (1, 0, 3.025, 0, 1, 3),
    "far along rows": (1, 0, 900.3, 0, 1, 0),
    "far back along rows": (1, 0, -900.3, 0, 1, 0),
    "from rows outside the image": (1, 0, 2.5, 0, 1, 30),
    "from rows in between": (1, 0, 2.5, 0, 1, 0.5),
    "sheared along rows": (1, 0.21, -4.2, 0, 1, 0),
    "sheared along rows in steps of a quarter": (1, -0.25, 0.125, 0, 1, 0),
    "along columns by whole pixels": (1, 0, 0, 0, 1, -9),
    "along columns, from the second column": (1, 0, 2, 0, 1, 10.3),
    "from columns outside the image": (1, 0, -2, 0, 1, 0.3),
    "sheared along columns": (1, 0, 0, -0.3, 1, 5.1),
    "turned": (0.9, 0.1, -3, -0.1, 0.9, 4),
}


@pytest.mark.parametrize("resample", ["NEAREST", "BILINEAR", "BICUBIC"])
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_each_frame_equals_pillows(matrix, resample):
    """On noise, and on three values, whose cubics are often whole numbers; for smaller and larger results."""
    rng, method = np.random.default_rng(0), Image.Resampling[resample]
    clip = np.stack([rng.integers(0, 256, (70, 90, 3)), rng.choice([0, 200, 255], (70, 90, 3))]).astype(np.uint8)
    for size in itertools.product((40, 70, 80), (1, 90, 100)):
        found = affine(clip, size, matrix, method, FILL)
        images = (Image.fromarray(frame) for frame in clip)
        options = {"data": matrix, "resample": method, "fillcolor": FILL}
        expected = [image.transform(size[::-1], Image.Transform.AFFINE, **options) for image in images]
        np.testing.assert_array_equal(found, np.stack(expected), str(size))
