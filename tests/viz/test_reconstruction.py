"""Reconstruction pictures show the given pixels and say what was predicted."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from PIL import Image

from vidjax.config import Config, DataConfig, ModelConfig
from vidjax.data.open import open_source
from vidjax.tasks import build_objective
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


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(24, 24, (144, 144)), (224, 224, (224, 224)), (64, 96, (128, 192)), (448, 448, (224, 224))],
)
def test_frames_of_the_animation_are_enlarged_by_a_whole_number_or_shrunk(height, width, shown, tmp_path):
    clip = np.zeros((1, 2, height, width, 3), np.float32)
    clip[:, 1] = 1
    path = reconstruction.draw_animation(dict.fromkeys(reconstruction.ROWS, clip), tmp_path / "a.gif", "")
    black = np.asarray(Image.open(path).convert("L"))[30:] == 0
    assert black.any(axis=0).sum() == 3 * shown[1]
    assert Image.open(path).height > shown[0]


def test_strips_grow_with_the_number_of_clips_up_to_three(clips, tmp_path):
    heights = []
    for count in (1, 2, 3, 6):
        many = {name: np.resize(clip, (count, *clip.shape[1:])) for name, clip in clips.items()}
        path = reconstruction.draw_strips(many, tmp_path / f"{count}.png", reconstruction.NORMALIZED)
        heights.append(Image.open(path).height)
    assert heights[0] < heights[1] < heights[2] == heights[3]


class Echo:
    """Gives the input back three times."""

    def __init__(self, normalize_target):
        self.normalize_target = normalize_target

    def reconstruct(self, params, batch, rngs):
        return {name: batch["video"].astype("float32") / 255 for name in reconstruction.ROWS}


def one_device():
    return jax.make_mesh((1, 1, 1), ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3, devices=jax.devices()[:1])


@pytest.mark.parametrize("normalize", [True, False])
def test_a_normalised_target_is_owned_up_to_in_the_caption(clips, tmp_path, normalize):
    video = (clips["input"] * 255).astype(np.uint8)
    pictures = reconstruction.write_reconstructions(
        Echo(normalize), {}, video, jax.random.key(0), one_device(), tmp_path
    )
    assert pictures.png.is_file()
    assert pictures.gif.is_file()
    assert ("true mean and deviation" in pictures.caption) == normalize
    assert "pasted from the input" in pictures.caption


def test_videos_that_cannot_be_decoded_are_passed_over(tmp_path):
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a" / "empty.mp4").write_bytes(b"")
    config = Config(data=DataConfig(root=str(tmp_path), image_size=16, num_frames=2))
    source = open_source(config.data, "val")
    draw = functools.partial(reconstruction.reconstruct_held_out, Echo(True), {})
    assert draw(source, config, one_device(), tmp_path) is None
    config = Config(data=DataConfig(name="synthetic", num_classes=3, image_size=16, num_frames=2))
    assert draw(open_source(config.data, "val"), config, one_device(), tmp_path).png.is_file()


def test_the_real_objective_leaves_visible_patches_as_they_were_and_changes_hidden_ones():
    config = Config(
        model=ModelConfig(name="videomae_tiny", dtype="float32", mask_ratio=0.5),
        data=DataConfig(num_frames=4, image_size=32),
    )
    objective = build_objective(config, 0)
    params = jax.jit(lambda: objective.init(jax.random.key(0), {})[0])()
    video = np.random.default_rng(0).integers(0, 256, (1, 4, 32, 32, 3), dtype=np.uint8)
    clips = jax.jit(objective.reconstruct)(params, {"video": video}, {"mask": jax.random.key(1)})
    hidden = np.asarray(clips["masked"] == 0.5).all(-1)
    assert 0 < hidden.mean() < 1
    np.testing.assert_allclose(clips["input"], video / 255, atol=1e-6)
    np.testing.assert_array_equal(clips["reconstructed"][~hidden], clips["input"][~hidden])
    assert np.abs(clips["reconstructed"] - clips["input"])[hidden].mean() > 0.01
