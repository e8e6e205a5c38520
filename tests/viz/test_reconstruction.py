"""Reconstruction pictures show the given pixels and state what was predicted."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from vidjax.config import Config, DataConfig, ModelConfig
from vidjax.data.open import open_source
from vidjax.tasks import build_objective
from vidjax.viz import reconstruction


class Echo:
    """Returns the input three times; the reconstruction is off by a constant."""

    def __init__(self, normalize_target, share=0.9, off=0.0):
        self.normalize_target, self.share_masked, self.off = normalize_target, share, off

    def reconstruct(self, params, batch, rngs):
        given = batch["video"].astype("float32") / 255
        return {"input": given, "masked": given, "reconstructed": given + self.off}


def one_device():
    return jax.make_mesh((1, 1, 1), ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3, devices=jax.devices()[:1])


def draw(objectives, folder, rows=1):
    video = np.random.default_rng(0).integers(0, 256, (rows, 16, 32, 32, 3), dtype=np.uint8)
    return reconstruction.write_reconstructions(objectives, {}, video, jax.random.key(0), one_device(), folder)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_caption_admits_a_normalised_target(tmp_path, normalize):
    pictures = draw([Echo(normalize)], tmp_path, rows=2)
    assert all(path.is_file() for path in pictures.files)
    assert ("true mean and deviation" in pictures.caption) == normalize
    assert "copied from the input" in pictures.caption
    assert pictures.errors == (0.0,)


def test_several_ratios_are_drawn_below_each_other_each_with_an_error(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        reconstruction.panels, "draw", lambda clips, files, caption, titles: drawn.update(clips=clips, titles=titles)
    )
    pictures = draw([Echo(True, ratio, ratio / 10) for ratio in (0.5, 0.9)], tmp_path)
    assert drawn["titles"] == ["50% hidden", "90% hidden"]
    assert list(drawn["clips"]) == ["input", "masked", "reconstructed", "error"]
    assert {clip.shape for clip in drawn["clips"].values()} == {(2, 16, 32, 32, 3)}
    np.testing.assert_allclose(pictures.errors, (0.05, 0.09), rtol=1e-5)


def test_the_error_map_is_black_at_zero_error_and_brightest_at_the_largest():
    given = np.zeros((1, 1, 1, 200, 3), np.float32)
    found = given.copy()
    found[..., 100:, 0] = np.linspace(0.1, 1, 100)  # one colour of three
    colours, most = reconstruction.error_map(given, found)
    assert most == pytest.approx(1 / 3, abs=0.01)
    assert colours[..., :100, :].max() < 0.02
    assert (np.diff(colours[0, 0, 0, 100:].sum(-1)) >= -0.02).all()
    assert colours[0, 0, 0, -1].min() > 0.6


def test_an_error_map_of_predictions_that_are_not_finite_can_be_drawn():
    given = np.zeros((1, 2, 4, 4, 3), np.float32)
    colours, most = reconstruction.error_map(given, np.full_like(given, np.nan))
    assert most == 1.0
    assert np.isfinite(colours).all()


def test_videos_that_cannot_be_decoded_are_skipped(tmp_path):
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a" / "empty.mp4").write_bytes(b"")
    config = Config(data=DataConfig(root=str(tmp_path), image_size=16, num_frames=2))
    source = open_source(config.data, "val")
    held_out = functools.partial(reconstruction.reconstruct_held_out, Echo(True), {})
    assert held_out(source, config, one_device(), tmp_path) is None
    config = Config(data=DataConfig(name="synthetic", num_classes=3, image_size=16, num_frames=2))
    assert held_out(open_source(config.data, "val"), config, one_device(), tmp_path).files.png.is_file()


def test_the_real_objective_keeps_visible_patches_and_changes_hidden_ones():
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
