"""Reconstruction pictures show the given pixels and say what was predicted."""

import numpy as np
import pytest
from PIL import Image

from vidjax.viz import reconstruction


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return {name: rng.random((2, 16, 32, 32, 3), dtype=np.float32) for name in reconstruction.ROWS}


def test_animation_has_every_frame_with_input_masked_and_reconstructed_from_left_to_right(clips, tmp_path):
    values = dict(zip(reconstruction.ROWS, (0.0, 0.5, 1.0), strict=True))
    flat = {name: np.full_like(clip, values[name]) for name, clip in clips.items()}
    path = reconstruction.draw_animation(flat, tmp_path / "x" / "a.gif", reconstruction.PLAIN)
    image = Image.open(path)
    assert image.n_frames == 1 or image.n_frames == 16  # equal frames may be merged by the writer
    row = np.asarray(image.convert("L"))[100]
    third = len(row) // 3
    assert [round(float(np.median(row[i * third : (i + 1) * third]))) for i in range(3)] == [0, 128, 255]
    moving = reconstruction.draw_animation(clips, tmp_path / "b.gif", reconstruction.PLAIN)
    assert Image.open(moving).n_frames == 16


def test_strips_grow_with_the_number_of_clips_up_to_three(clips, tmp_path):
    heights = []
    for count in (1, 2, 3, 6):
        many = {name: np.resize(clip, (count, *clip.shape[1:])) for name, clip in clips.items()}
        path = reconstruction.draw_strips(many, tmp_path / f"{count}.png", reconstruction.NORMALIZED)
        heights.append(Image.open(path).height)
    assert heights[0] < heights[1] < heights[2] == heights[3]


@pytest.mark.parametrize("normalize", [True, False])
def test_a_normalised_target_is_owned_up_to_in_the_caption(clips, tmp_path, normalize):
    class Echo:
        normalize_target = normalize

        def reconstruct(self, params, batch, rngs):
            return {name: batch["video"].astype("float32") / 255 for name in reconstruction.ROWS}

    batch = {"video": (clips["input"] * 255).astype(np.uint8)}
    pictures = reconstruction.write_reconstructions(Echo(), {}, batch, {}, tmp_path)
    assert pictures.png.is_file()
    assert pictures.gif.is_file()
    assert ("true mean and deviation" in pictures.caption) == normalize
    assert "pasted from the input" in pictures.caption
