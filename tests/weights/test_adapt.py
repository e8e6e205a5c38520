"""Adapting a model to other frames, another resolution or other classes, and the notes on it."""

import dataclasses

import jax
import numpy as np
import peers
import pytest
from scipy import ndimage

import vidjax
from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.weights.adapt import adapt
from vidjax.weights.resize_positions import fit_positions

TINY = {"num_frames": 8, "image_size": 16, "width": 8, "depth": 1}


def random_model(name, num_classes=5, **options):
    """A tiny model of a family without constant parameters."""
    options = TINY | ({} if name == "videomamba_tiny" else {"num_heads": 2, "mlp_dim": 8}) | options
    module = build_model(name, num_classes=num_classes, **options)
    shapes = jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, *module.spec.clip_shape)))["params"]
    rng = np.random.default_rng(0)
    return module, jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


def output(module, params):
    """The shape of the module's output for a clip with these parameters; nothing is computed."""
    clips = np.zeros((1, *module.spec.clip_shape), np.float32)
    return jax.eval_shape(module.apply, {"params": params}, clips)["pooled"]


@pytest.mark.parametrize("frames", [16, 32])
def test_timesformer_positions_in_time_and_space_are_resized_by_nearest(frames):
    module, params = random_model("timesformer_tiny")
    wider, found, notes = adapt("timesformer", module, params, num_frames=frames, image_size=(24, 32))
    before, after = params["encoder"], found["encoder"]
    np.testing.assert_array_equal(after["time_embed"], np.repeat(before["time_embed"], frames // 8, axis=0))
    np.testing.assert_array_equal(after["pos_embed"][0], before["pos_embed"][0])
    places = after["pos_embed"][1:].reshape(3, 4, -1)
    np.testing.assert_array_equal(places, before["pos_embed"][1:].reshape(2, 2, -1)[[0, 0, 1]][:, [0, 0, 1, 1]])
    assert notes == (
        "encoder/pos_embed resized from 2x2 to 3x4 (h w; nearest)",
        f"encoder/time_embed resized from 8 to {frames} (t; nearest)",
    )
    assert output(wider, found).shape == (1, 8)


def test_the_flattened_resizing_of_timesformers_authors_is_available_by_name():
    """helpers.py:170-177: `F.interpolate(other_pos_embed, size=num_patches, mode="nearest")` of (1, d, n)."""
    module, params = random_model("timesformer_tiny", resized_positions="flattened")
    for size in (24, 32, (24, 40)):
        wider, found, notes = adapt("timesformer", module, params, image_size=size)
        tensor = peers.torch.from_numpy(params["encoder"]["pos_embed"]).T[None, :, 1:]
        theirs = peers.torch.nn.functional.interpolate(tensor, size=wider.spec.num_tokens // 8, mode="nearest")[0].T
        np.testing.assert_array_equal(found["encoder"]["pos_embed"][1:], theirs)
        np.testing.assert_array_equal(found["encoder"]["pos_embed"][0], params["encoder"]["pos_embed"][0])
        assert "nearest over the flattened table" in notes[0]


def test_the_new_models_spec_decides_how_positions_are_resized():
    """An image model's file cannot decide it: `config.model.spec.resized_positions` of the new model does."""
    module, params = random_model("timesformer_tiny")
    new = dataclasses.replace(module.spec, image_size=32, resized_positions="flattened")
    found, _ = fit_positions(params, module.spec, new)
    old = params["encoder"]["pos_embed"]
    np.testing.assert_array_equal(found["encoder"]["pos_embed"][1:], np.repeat(old[1:], 4, axis=0))


@pytest.mark.parametrize("frames", [16, 32])
def test_videomamba_positions_are_resized_linearly_in_time_and_cubically_in_space(frames):
    module, params = random_model("videomamba_tiny")
    wider, found, notes = adapt("videomamba", module, params, num_frames=frames, image_size=24)
    tensor = peers.torch.from_numpy(params["encoder"]["time_embed"]).T[None]
    theirs = peers.torch.nn.functional.interpolate(tensor, size=frames, mode="linear")[0].T
    np.testing.assert_allclose(found["encoder"]["time_embed"], theirs, atol=2e-6)
    assert notes == (
        "encoder/pos_embed resized from 2x2 to 3x3 (h w; cubic)",
        f"encoder/time_embed resized from 8 to {frames} (t; linear)",
    )
    assert output(wider, found).shape == (1, 8)


@pytest.mark.parametrize("factorization", ["joint", "encoder", "self_attention", "dot_product"])
def test_vivit_positions_are_resized_for_every_factorization(factorization):
    module, params = random_model("vivit_tiny", factorization=factorization)
    wider, found, notes = adapt("vivit", module, params, num_frames=16, image_size=32)
    assert output(wider, found).shape == (1, 8)
    assert len(notes) == (2 if factorization == "encoder" else 1)
    before, after = params["encoder"]["pos_embed"], found["encoder"]["pos_embed"]
    grid, zoom = ((2, 2), (2, 2, 1)) if factorization == "encoder" else ((4, 2, 2), (2, 2, 2, 1))
    zoomed = ndimage.zoom(before[module.spec.class_token :].reshape(*grid, 8), zoom, order=1).reshape(-1, 8)
    np.testing.assert_allclose(after[module.spec.class_token :], zoomed, atol=2e-6)
    np.testing.assert_array_equal(after[: module.spec.class_token], before[: module.spec.class_token])
    if factorization == "encoder":
        zoomed = ndimage.zoom(params["temporal"]["pos_embed"][1:], (2, 1), order=1)
        np.testing.assert_allclose(found["temporal"]["pos_embed"][1:], zoomed, atol=2e-6)


@pytest.mark.parametrize("image_size", [16, 24])
def test_a_factorised_encoder_with_one_time_step_can_get_more(image_size):
    """Its first table holds the places of one frame, although a single time step has as many cubes in all."""
    module, params = random_model("vivit_tiny", factorization="encoder", num_frames=2)
    wider, found, _ = adapt("vivit", module, params, num_frames=4, image_size=image_size)
    assert output(wider, found).shape == (1, 8)
    side = image_size // 8
    assert found["encoder"]["pos_embed"].shape == (1 + side**2, 8)
    np.testing.assert_array_equal(found["temporal"]["pos_embed"][1:], params["temporal"]["pos_embed"][[1, 1]])


def test_videomae_positions_are_recomputed(tmp_path):
    """Its fixed table has no parameters: the arrays stay the same, and the table fits the new grid."""
    peer = peers.classifier()
    peer.save_pretrained(tmp_path)
    model = vidjax.from_pretrained(tmp_path, num_frames=8, image_size=(24, 32))
    assert model.spec.clip_shape == (8, 24, 32, 3)
    assert model.notes == ("fixed sine-cosine positions computed for 4x3x4 cubes (t h w) instead of 2x2x2",)
    theirs = peers.classifier(num_frames=8, image_size=(24, 32))
    theirs.load_state_dict(peer.state_dict())
    clips = peers.random_clips(8, 24, 32)
    ours = jax.jit(model.module.apply)({"params": model.params}, clips)["logits"]
    peers.assert_close(ours, peers.logits_of(theirs, clips))
    assert not np.array_equal(ops.sincos_1d(48, 24), np.resize(ops.sincos_1d(8, 24), (48, 24)))


def test_another_number_of_classes_gets_a_fresh_head_and_no_labels(tmp_path):
    peer = peers.classifier(id2label=dict(enumerate("abcde")), label2id={c: i for i, c in enumerate("abcde")})
    peer.save_pretrained(tmp_path)
    as_it_is = vidjax.from_pretrained(tmp_path, num_classes=5)
    assert as_it_is.labels == tuple("abcde")
    assert as_it_is.notes == ()
    model = vidjax.from_pretrained(tmp_path, num_classes=7)
    assert model.labels is None
    assert model.notes == ("a fresh head for 7 classes instead of one for 5 classes",)
    assert model.params["head"]["kernel"].shape == (24, 7)
    same = {key: value for key, value in model.params.items() if key != "head"}
    jax.tree.map(np.testing.assert_array_equal, same, {key: as_it_is.params[key] for key in same})
    headless = vidjax.from_pretrained(tmp_path, num_classes=0)
    assert headless.notes == ("no head instead of one for 5 classes",)
    assert "head" not in headless.params


def test_a_pretrained_model_becomes_a_classifier(tmp_path):
    peers.pretraining().save_pretrained(tmp_path)
    model = vidjax.from_pretrained(tmp_path, num_classes=3)
    assert model.module.num_classes == 3
    assert model.notes == (
        "a fresh head for 3 classes",
        "starts fresh: fc_norm",
        "not used: decoder, encoder/norm, encoder_to_decoder, mask_token",
    )


def test_clips_that_cubes_do_not_tile_are_refused(tmp_path):
    peers.classifier().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="a clip of 5 frames is not a multiple of tubelet_size=2"):
        vidjax.from_pretrained(tmp_path, num_frames=5)
    with pytest.raises(ConfigError, match="num_classes=-1"):
        vidjax.from_pretrained(tmp_path, num_classes=-1)
