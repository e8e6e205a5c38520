"""ViViT checkpoints: scenic's msgpack of all four models, and those of `transformers`, read and written."""

import dataclasses
import json

import flax.serialization
import jax
import numpy as np
import pytest
import safetensors.numpy

import vidjax
from vidjax.errors import WeightsError
from vidjax.models.vivit import ViViTSpec
from vidjax.weights import rules as rule_tables
from vidjax.weights.checkpoint_contents import read_contents
from vidjax.weights.checkpoint_layouts import recognise
from vidjax.weights.families import vivit, vivit_scenic

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
import vivit_torch  # noqa: E402 - needs torch

CLASSES = 5
SIZES = {"patch_size": 4, "image_size": 8, "num_frames": 32, "tubelet_size": 8}
SPECS = {
    "joint": ViViTSpec(12, 2, 3, 20, "joint", **SIZES),
    "encoder": ViViTSpec(12, 1, 3, 20, "encoder", 3, **SIZES | {"num_frames": 6, "tubelet_size": 2}),
    "self_attention": ViViTSpec(12, 2, 3, 20, "self_attention", **SIZES),
    "dot_product": ViViTSpec(12, 2, 2, 20, "dot_product", **SIZES),
}


def params_of(description, state):
    return rule_tables.read(description.rules, state, description.shapes, ignore=description.ignore)


def apply(description, params, clips):
    return jax.jit(description.build().apply)({"params": params}, clips)


def random_clips(spec):
    return np.random.default_rng(1).normal(size=(2, *spec.clip_shape)).astype(np.float32)


@pytest.mark.parametrize("wrapped", ["optimizer", "params"])
@pytest.mark.parametrize("name", SPECS)
def test_a_scenic_file_tells_its_model_and_gives_its_logits(name, wrapped, tmp_path):
    spec, tree = SPECS[name], vivit_torch.scenic_state(SPECS[name], CLASSES)
    whole = {"optimizer": {"target": tree, "state": {"step": 3}}} if wrapped == "optimizer" else {"params": tree}
    (tmp_path / "checkpoint").write_bytes(flax.serialization.msgpack_serialize({"global_step": 3, **whole}))
    contents = read_contents(tmp_path / "checkpoint")
    layout = recognise(contents.state, contents.config, contents.source)
    assert layout.name == "ViViT, scenic"
    found = layout.describe(contents.state, contents.config)
    assert found.spec == spec
    assert (found.num_classes, found.merge, found.mean, found.std) == (5, "sum_logits", (0.5,) * 3, (0.5,) * 3)
    if wrapped == "params":
        return
    model = vidjax.from_pretrained(tmp_path / "checkpoint")
    clips = np.random.default_rng(1).integers(0, 256, (2, *spec.clip_shape), dtype=np.uint8)
    state = {key: torch.from_numpy(value).double() for key, value in vivit_torch.flat(tree).items()}
    theirs = vivit_torch.classify(state, torch.from_numpy(clips / 127.5 - 1), spec.factorization).numpy()
    np.testing.assert_allclose(model(clips)["logits"], theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())
    written = rule_tables.write(layout.rules(spec, CLASSES), model.params)
    assert written.keys() == contents.state.keys()
    for key, value in written.items():
        np.testing.assert_array_equal(value, contents.state[key], err_msg=key)


def test_a_number_of_frames_that_leaves_no_square_is_refused_with_a_remedy():
    spec = dataclasses.replace(SPECS["joint"], num_frames=24)
    state = vivit_torch.flat(vivit_torch.scenic_state(spec, CLASSES))
    with pytest.raises(WeightsError, match=r"12 positions do not fit 32 square frames .* right num_frames"):
        vivit_scenic.LAYOUTS[0].describe(state, None)
    assert vivit_scenic.LAYOUTS[0].describe(state, {"num_frames": 24}).spec == spec


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("joint", ["how many frames a clip has: 32, as published, are assumed"]),
        ("encoder", []),  # its table for time tells
        ("self_attention", ["'space_time' has the same arrays", "how many frames a clip has: 32"]),
        ("dot_product", ["scenic's model 1 with mean pooling has the same arrays", "how many frames a clip has: 32"]),
    ],
)
def test_what_a_scenic_file_leaves_open_is_noted(name, words):
    state = vivit_torch.flat(vivit_torch.scenic_state(SPECS[name], CLASSES))
    notes = vivit_scenic.LAYOUTS[0].describe(state, None).notes
    assert len(notes) == len(words)
    for note, sentence in zip(notes, words, strict=True):
        assert sentence in note
    told = vivit_scenic.LAYOUTS[0].describe(state, {"num_frames": SPECS[name].num_frames}).notes
    assert not any("how many frames" in note for note in told)


def peer(folder, **changes):
    """Save a VivitForVideoClassification with random weights, and return it."""
    sizes = {"hidden_size": 15, "num_hidden_layers": 2, "num_attention_heads": 5, "intermediate_size": 22}
    clips = {"num_frames": 6, "image_size": [8, 12], "tubelet_size": [3, 4, 4], "num_labels": CLASSES}
    config = transformers.VivitConfig(**sizes | clips | changes)
    torch.manual_seed(0)
    model = transformers.VivitForVideoClassification(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return model


def logits_of(model, clips):
    pixels = torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 1, 4, 2, 3)))
    with torch.no_grad():
        return model(pixels).logits.numpy()


def test_a_transformers_folder_round_trips_with_the_same_logits(tmp_path):
    model = peer(tmp_path, id2label=dict(enumerate("abcde")))
    contents = read_contents(tmp_path)
    layout = recognise(contents.state, contents.config, contents.source)
    assert layout.name == "ViViT, transformers"
    found = layout.describe(contents.state, contents.config)
    assert found.spec == ViViTSpec(15, 2, 5, 22, patch_size=4, tubelet_size=3, num_frames=6, image_size=(8, 12))
    assert (found.labels, found.merge, found.mean) == (tuple("abcde"), "sum_logits", (0.5,) * 3)
    params, clips = params_of(found, contents.state), random_clips(found.spec)
    theirs = logits_of(model, clips)
    np.testing.assert_allclose(apply(found, params, clips)["logits"], theirs, atol=2e-5 * np.abs(theirs).max())

    again = tmp_path / "again"
    again.mkdir()
    written = rule_tables.write(layout.rules(found.spec, CLASSES), params)
    safetensors.numpy.save_file(written, again / "model.safetensors", {"format": "pt"})
    (again / "config.json").write_text(json.dumps(layout.config(found) | {"num_labels": CLASSES}))
    exported, report = transformers.VivitForVideoClassification.from_pretrained(again, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    np.testing.assert_allclose(logits_of(exported.eval(), clips), theirs, atol=2e-5 * np.abs(theirs).max())


def test_a_model_without_head_is_known_by_its_config(tmp_path):
    peer(tmp_path).vivit.save_pretrained(tmp_path / "trunk")
    contents = read_contents(tmp_path / "trunk")
    found = recognise(contents.state, contents.config, contents.source).describe(contents.state, contents.config)
    assert (found.family, found.num_classes) == ("vivit", 0)
    params_of(found, contents.state)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_act": "gelu"}, r"hidden_act='gelu'; ViViT has the tanh GELU, one of gelu_fast"),
        (
            {"num_frames": 12},
            r"12 frames of 8 x 12 pixels, but vivit\S+ holds 12 positions; .* download both again",
        ),
        ({"num_attention_heads": None}, "do not determine the number of heads"),
    ],
)
def test_a_config_that_contradicts_the_arrays_is_refused(changes, sentence, tmp_path):
    peer(tmp_path)
    contents = read_contents(tmp_path)
    config = {key: value for key, value in (contents.config | changes).items() if value is not None}
    with pytest.raises(WeightsError, match=sentence):
        vivit.LAYOUTS[0].describe(contents.state, config)


def test_models_2_to_4_cannot_be_exported_to_transformers():
    found = vivit_scenic.LAYOUTS[0].describe(
        vivit_torch.flat(vivit_torch.scenic_state(SPECS["encoder"], CLASSES)), None
    )
    with pytest.raises(WeightsError, match=r"only has ViViT's model 1, .* factorization='encoder' cannot be exported"):
        vivit.LAYOUTS[0].config(found)
