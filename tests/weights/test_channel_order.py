"""TimeSformer's public Something-Something weights were trained on BGR frames and get BGR frames everywhere.

The authors read frames with `cv2.imdecode` and never reorder them (timesformer/datasets/utils.py:36, ssv2.py:235-262).
"""

import dataclasses

import jax
import numpy as np
import pytest

import vidjax
from vidjax.config import DataConfig
from vidjax.data.clips.augment import augment, eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.training.convert import save_as_run

pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
from peers import logits_of
from timesformer_peer import peer
from videos import encode, moving_texture

SPEC = TimeSformerSpec(16, 1, 2, 24, patch_size=4, num_frames=8, image_size=16)
CLIPS = np.random.default_rng(0).integers(0, 256, (2, 8, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def theirs():
    return peer(SPEC, 174)


@pytest.fixture(scope="module")
def model(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("something")
    theirs.float().save_pretrained(folder)
    return vidjax.from_pretrained(folder)


def fed(clips, order):
    """Frames in BGR as the authors prepare them: (x / 255 - 0.45) / 0.225."""
    return ((clips[..., order] / 255 - 0.45) / 0.225).astype(np.float32)


BGR = [2, 1, 0]


def test_rgb_clips_reach_the_model_as_bgr(model, theirs):
    assert model.clips.channels == "bgr"
    expected = logits_of(theirs, fed(CLIPS, BGR))
    assert np.abs(expected - logits_of(theirs, fed(CLIPS, [0, 1, 2]))).max() > 0.1
    for call in (model, jax.jit(model)):
        np.testing.assert_allclose(call(CLIPS)["logits"], expected, atol=2e-4)


def test_a_video_is_predicted_from_its_bgr_frames(model, theirs, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(encode(moving_texture(8, 16, 16), rate=10))
    frames = vidjax.data.read_frames(str(tmp_path / "clip.mp4"), np.arange(8))
    places = [(round(7 / 8 * place) + round(7 / 8 * (place + 1))) // 2 for place in range(8)]  # segment_middle
    scores = logits_of(theirs, fed(frames[places][None], BGR))[0]
    probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    best = model.predict(tmp_path / "clip.mp4", top=1)["top"][0]
    assert best["label"] == f"class {probabilities.argmax()}"
    assert best["probability"] == pytest.approx(probabilities.max(), abs=1e-4)
    pooled = model.embed(tmp_path / "clip.mp4")["pooled"]
    np.testing.assert_allclose(np.ravel(pooled), np.ravel(model(frames[places])["pooled"]), atol=1e-4)


def test_the_channel_order_is_noted_and_kept_by_derived_models(model, tmp_path):
    assert any("BGR" in note and "data.channels=bgr" in note for note in model.notes)
    config = save_as_run(model, tmp_path / "run")
    assert config.data.channels == "bgr"
    assert vidjax.from_pretrained(tmp_path / "run").clips == model.clips
    notes = vidjax.weights.export(model, tmp_path / "files")
    assert any("reverse the channels" in note for note in notes)


def test_training_and_test_clips_have_the_requested_channel_order():
    data = DataConfig(image_size=12, crop="random_resized", flip=0.5, color_jitter=(0.4, 0.4, 0.4, 0.1))
    rgb, bgr = (
        augment(CLIPS[0], dataclasses.replace(data, channels=order), np.random.default_rng(3))
        for order in ("rgb", "bgr")
    )
    np.testing.assert_array_equal(bgr, rgb[..., BGR])
    rgb, bgr = (eval_crops(CLIPS[0], ClipRecipe(image_size=12, crops=3, channels=order)) for order in ("rgb", "bgr"))
    np.testing.assert_array_equal(bgr, rgb[..., BGR])
