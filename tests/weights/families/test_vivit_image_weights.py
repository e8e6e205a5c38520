"""A ViViT initialised from an image model: its patches, positions and attention, for every factorization."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.errors import WeightsError
from vidjax.models.vivit import ViViTClassifier, ViViTSpec
from vidjax.objectives.base import Part
from vidjax.training.init.video_model import init_video_model
from vidjax.weights import rules as rule_tables
from vidjax.weights.checkpoint_contents import read_contents
from vidjax.weights.families import vivit_image

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")


def apply(description, params, clips):
    return jax.jit(description.build().apply)({"params": params}, clips)


def test_the_central_frame_kernel_uses_that_frame_and_inflation_the_mean():
    """Cubes of three frames, worked out by hand: two values per frame, one output channel."""
    image, frames = np.array([[2.0], [3.0]], np.float32), np.array([[1, 1], [10, 20], [4, 0]], np.float32)
    assert float(frames.ravel() @ vivit_image.central_frame(image, 3)[:, 0]) == 10 * 2 + 20 * 3
    assert float(frames.ravel() @ vivit_image.inflation(image, 3)[:, 0]) == pytest.approx((5 + 80 + 8) / 3)
    np.testing.assert_array_equal(vivit_image.central_frame(image, 4)[:, 0], [0, 0, 0, 0, 2, 3, 0, 0])


def test_positions_are_repeated_in_every_frame():
    table = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    np.testing.assert_array_equal(vivit_image.tile(table, 2), [[1, 2], [3, 4], [1, 2], [3, 4]])


@pytest.mark.parametrize("grid", [(2, 2), (5, 3), (7, 8)])
def test_positions_are_resized_as_torch_does_with_corners_kept(grid):
    table = np.random.default_rng(0).normal(size=(3, 3, 4)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(table).permute(2, 0, 1)[None], grid, mode="bilinear", align_corners=True
    )[0].permute(1, 2, 0)
    np.testing.assert_allclose(
        vivit_image.resize(table.reshape(9, 4), grid).reshape(*grid, 4), theirs.numpy(), atol=1e-6
    )


@pytest.fixture(scope="module")
def image_model(tmp_path_factory):
    """A saved ViT for images of 8 pixels with random weights, and the content of its file."""
    config = transformers.ViTConfig(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
        image_size=8, patch_size=4, num_labels=7, hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("image")
    model.save_pretrained(folder)
    return model, read_contents(folder)


def begin(contents, spec):
    """The parameters of a ViViT initialised from an image model; fresh parameters are drawn with seed 0."""
    found = vivit_image.describe_image(contents.state, contents.config, spec)
    whole = jax.jit(ViViTClassifier(spec, 0).init)(jax.random.key(0), jnp.zeros((1, *spec.clip_shape)))["params"]
    leaves = rule_tables.flatten(whole)
    fresh = {path: leaf for path, leaf in leaves.items() if found.fresh and re.search(found.fresh, path)}
    held = rule_tables.nest({path: leaf for path, leaf in leaves.items() if path not in fresh})
    read = rule_tables.read(found.rules, contents.state, lambda: held, ignore=found.ignore)
    return found, rule_tables.nest(rule_tables.flatten(read) | fresh)


SPEC = ViViTSpec(12, 2, 2, 20, patch_size=4, image_size=8, num_frames=4)


@pytest.mark.parametrize("tubelet_init", ["central_frame", "inflation"])
def test_the_first_encoder_encodes_a_still_clip_like_the_image_model(image_model, tubelet_init):
    """A factorised encoder encodes each frame alone: tokens and class tokens are those of the image model."""
    model, contents = image_model
    spec = dataclasses.replace(SPEC, factorization="encoder", temporal_depth=1, tubelet_init=tubelet_init)
    found, params = begin(contents, spec)
    image = np.random.default_rng(2).normal(size=(1, 8, 8, 3)).astype(np.float32)
    with torch.no_grad():
        states = model.vit(torch.from_numpy(image.transpose(0, 3, 1, 2))).last_hidden_state[0].numpy()
    still = image[:, None].repeat(4, axis=1)
    tokens = apply(found, params, still)["tokens"].reshape(2, 4, 12)
    for frame in tokens:
        np.testing.assert_allclose(frame, states[1:], atol=2e-5 * np.abs(states).max())
    notes = " ".join(found.notes)
    assert "its positions serve every time step;" in notes
    assert "temporal encoder starts fresh" in notes


@pytest.mark.parametrize("factorization", ["joint", "self_attention", "dot_product"])
def test_every_factorization_can_be_initialised_from_an_image_model(image_model, factorization):
    _, contents = image_model
    spec = dataclasses.replace(SPEC, factorization=factorization, image_size=(12, 8))
    found, params = begin(contents, spec)
    encoder = params["encoder"]
    table = contents.state["vit.embeddings.position_embeddings"][0]
    rows = encoder["pos_embed"][spec.class_token :].reshape(2, 3, 2, 12)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_allclose(rows[0][[0, 0, 2, 2], [0, 1, 0, 1]], table[1:], atol=1e-6)  # the corners
    if spec.class_token:
        np.testing.assert_array_equal(encoder["pos_embed"][0], table[0])
    if factorization == "self_attention":
        for time, space in zip(
            jax.tree.leaves(encoder["blocks"]["temporal_attn"]), jax.tree.leaves(encoder["blocks"]["attn"]), strict=True
        ):
            np.testing.assert_array_equal(time, space)
        assert (encoder["blocks"]["temporal_norm"]["scale"] == 1).all()
    assert found.num_classes == 0
    assert "its positions are repeated in each of 2 time steps;" in found.notes[0]


@pytest.mark.parametrize("factorization", ["encoder", "self_attention"])
def test_training_starts_from_the_image_model_named_by_init_from(image_model, factorization):
    _, contents = image_model
    module = ViViTClassifier(dataclasses.replace(SPEC, factorization=factorization, temporal_depth=1), 3)
    params = jax.jit(module.init)(jax.random.key(1), jnp.zeros((1, *module.spec.clip_shape)))["params"]
    pixels = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    taken, sentence = init_video_model(params, Part("", module.spec), contents.source, **pixels)
    assert jax.tree.structure(taken) == jax.tree.structure(params)
    table = contents.state["vit.embeddings.position_embeddings"][0, 1:]
    np.testing.assert_array_equal(taken["encoder"]["pos_embed"][-4:], table)
    np.testing.assert_array_equal(taken["head"]["kernel"], params["head"]["kernel"])
    assert "tubelet_init=central_frame" in sentence
    assert "new: head" in sentence


def test_an_image_model_of_another_size_is_refused(image_model):
    _, contents = image_model
    wrong = dataclasses.replace(SPEC, depth=3, num_heads=4, mlp_dim=24)
    with pytest.raises(WeightsError, match="depth 2 instead of 3, mlp_dim 20 instead of 24, num_heads 2 instead of 4"):
        vivit_image.describe_image(contents.state, contents.config, wrong)
    assert vivit_image.is_image_vit(contents.state, contents.config)
    assert not vivit_image.is_image_vit(contents.state, {"model_type": "vivit"})
