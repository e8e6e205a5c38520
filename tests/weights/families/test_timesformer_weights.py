"""TimeSformer checkpoints of the authors and of transformers, and image ViTs that initialise a TimeSformer."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import vidjax
from vidjax.errors import WeightsError
from vidjax.models.timesformer import TimeSformerClassifier, TimeSformerSpec
from vidjax.weights import rules as rule_tables
from vidjax.weights.families import timesformer, timesformer_image
from vidjax.weights.families.timesformer import TRANSFORMERS_TYPES

torch = pytest.importorskip("torch", reason="the oracles are in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="it reads the written files")
import timesformer_torch  # noqa: E402 - needs torch
from timesformer_peer import peer, random_clips  # noqa: E402 - needs torch and transformers

OFFICIAL, TRANSFORMERS = timesformer.LAYOUTS
TIMM, TRANSFORMERS_VIT = timesformer_image.LAYOUTS
LAYOUTS = (*timesformer.LAYOUTS, *timesformer_image.LAYOUTS)
# Heads of width 64, as in all published models: the authors' files do not tell the number of heads.
SPEC = TimeSformerSpec(128, 2, 2, 96, patch_size=4, num_frames=3, image_size=12)


def recognised(state, config=None):
    return [layout.name for layout in LAYOUTS if layout.recognises(state.keys(), config)]


def official_state(spec, num_classes=5, prefix="model."):
    state = timesformer_torch.random_state(spec, num_classes)
    return {prefix + key: value.detach().float().numpy() for key, value in state.items()}


def read(description, state):
    return rule_tables.read(description.rules, state, description.shapes, ignore=description.ignore)


def saved(model, folder):
    """The arrays and config.json that `save_pretrained` writes."""
    model.save_pretrained(folder)
    return safetensors_numpy.load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("attention_type", TRANSFORMERS_TYPES)
def test_the_authors_file_tells_everything_except_the_frames_of_space_only_attention(attention_type):
    spec = dataclasses.replace(SPEC, attention_type=attention_type)
    state = official_state(spec)
    assert recognised(state) == [OFFICIAL.name]
    found = OFFICIAL.describe(state, None)
    frames = spec.num_frames if attention_type != "space_only" else timesformer.NUM_FRAMES
    assert found.spec == dataclasses.replace(spec, num_frames=frames)
    assert (found.num_classes, found.merge, found.mean[0], found.std[0]) == (5, "sum_logits", 0.45, 0.225)
    params = read(found, state)
    back = rule_tables.write(found.rules, params)
    assert back.keys() == state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(back[key], value)


def test_a_pyth_file_of_the_authors_gives_the_logits_of_its_model_state(tmp_path):
    state = timesformer_torch.random_state(SPEC, 5)
    arrays = {f"model.{key}": value.detach().float() for key, value in state.items()}
    trained = {"epoch": 14, "model_state": arrays, "optimizer_state": {"state": {}}, "cfg": "TRAIN:\n  ENABLE: true\n"}
    torch.save(trained, tmp_path / "TimeSformer.pyth")
    model = vidjax.from_pretrained(tmp_path / "TimeSformer.pyth")
    clips = np.random.default_rng(0).integers(0, 256, (2, *SPEC.clip_shape), dtype=np.uint8)
    theirs = timesformer_torch.logits(state, SPEC, torch.from_numpy((clips / 255 - 0.45) / 0.225)).detach().numpy()
    np.testing.assert_allclose(model(clips)["logits"], theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())
    assert (model.clip_recipe.merge, model.labels, model.notes) == ("sum_logits", None, ())


@pytest.mark.parametrize("attention_type", ["divided", "joint"])
def test_transformers_loads_what_is_exported_and_gives_the_same_logits(tmp_path, attention_type):
    spec = TimeSformerSpec(18, 3, 3, 40, attention_type, patch_size=4, num_frames=3, image_size=12, norm_eps=1e-5)
    module, clips = TimeSformerClassifier(spec, 5), random_clips(spec)
    shapes = jax.eval_shape(module.init, jax.random.key(0), clips)["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0.0, 0.2, leaf.shape).astype(np.float32), shapes)
    table = TRANSFORMERS.rules(spec, 5)
    description = dataclasses.replace(
        OFFICIAL.describe(official_state(SPEC), None), spec=spec, num_classes=5, rules=table
    )
    state = rule_tables.write(table, params)
    safetensors_numpy.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = TRANSFORMERS.config(description) | {"id2label": {str(i): f"LABEL_{i}" for i in range(5)}}
    (tmp_path / "config.json").write_text(json.dumps(config))

    model, loading = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values()), loading
    theirs = model.eval().double()(torch.from_numpy(clips.transpose(0, 1, 4, 2, 3)).double()).logits.detach().numpy()
    ours = jax.jit(module.apply)({"params": params}, clips)["logits"]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())

    assert recognised(state, config) == recognised(state) == [TRANSFORMERS.name]
    again = TRANSFORMERS.describe(state, config)
    assert again.spec == spec
    assert jax.tree.all(jax.tree.map(np.array_equal, read(again, state), params))


@pytest.mark.parametrize("attention_type", TRANSFORMERS_TYPES)
def test_a_saved_transformers_model_is_read_with_and_without_its_head(tmp_path, attention_type):
    spec = TimeSformerSpec(15, 2, 5, 31, attention_type, patch_size=4, num_frames=3, image_size=8, norm_eps=1e-4)
    model = peer(spec, 5).float()
    model.config.id2label = dict(enumerate("abcde"))
    for part, num_classes, labels in ((model, 5, tuple("abcde")), (model.timesformer, 0, None)):
        state, config = saved(part, tmp_path)
        assert recognised(state, config) == [TRANSFORMERS.name]
        found = TRANSFORMERS.describe(state, config)
        assert (found.spec, found.num_classes, found.labels) == (spec, num_classes, labels)
        assert bool(found.notes) == (attention_type == "space_only")  # which transformers computes differently
        assert ("head" in read(found, state)) == bool(num_classes)
    without = {key: value for key, value in config.items() if key != "num_frames"}
    notes = " ".join(TRANSFORMERS.describe(state, without).notes)
    assert ("how many frames a clip has: 8, as published, are assumed" in notes) == (attention_type == "space_only")


def test_a_contradiction_between_arrays_and_config_is_refused(tmp_path):
    state, config = saved(peer(TimeSformerSpec(16, 1, 2, 16, patch_size=4, num_frames=3, image_size=8), 5), tmp_path)
    for change, sentence in (
        ({"num_frames": 8}, "num_frames=8, but the arrays have 3"),
        ({"image_size": 224}, "image_size=224, but the arrays have 8"),
        ({"attention_type": "joint_space_time"}, "but the arrays belong to divided_space_time; .* download both again"),
        ({"hidden_act": "relu"}, "hidden_act='relu'; a TimeSformer has gelu"),
    ):
        with pytest.raises(WeightsError, match=sentence):
            TRANSFORMERS.describe(state, config | change)
    without_bias = {key: value for key, value in state.items() if not key.endswith("qkv.bias")}
    with pytest.raises(WeightsError, match=r"2 keys are missing: .*attention\.attention\.qkv\.bias"):
        read(TRANSFORMERS.describe(without_bias, config), without_bias)


def test_an_unknown_number_of_heads_is_asked_for():
    state = official_state(TimeSformerSpec(24, 1, 3, 16, patch_size=4, num_frames=3, image_size=8))
    with pytest.raises(WeightsError, match="a width of 24 does not determine the number of heads"):
        OFFICIAL.describe(state, None)
    assert OFFICIAL.describe(state, {"num_attention_heads": 3}).spec.num_heads == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"attention_type": "space_only"}, "transformers scores each frame; the original, like vidjax, averages"),
        ({"image_size": (12, 16)}, "TimeSformer takes square frames; this model takes 12 x 16"),
    ],
)
def test_models_that_transformers_lacks_are_not_exported(change, sentence):
    found = OFFICIAL.describe(official_state(SPEC), None)
    found = dataclasses.replace(found, spec=dataclasses.replace(SPEC, **change))
    with pytest.raises(WeightsError, match=sentence):
        TRANSFORMERS.config(found)


def test_tubelets_of_several_frames_cannot_be_exported():
    with pytest.raises(WeightsError, match="tubelet_size=3 cannot be exported"):
        TRANSFORMERS.rules(dataclasses.replace(SPEC, tubelet_size=3), 5)


def image_vit(cls, **options):
    config = transformers.ViTConfig(
        hidden_size=18, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, image_size=12, patch_size=4
    )
    torch.manual_seed(0)
    model = cls(config, **options).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "layernorm" in name and name.endswith("weight") else 0.0, 0.2)
    return model


@pytest.mark.parametrize("name", ["ViTModel", "ViTForImageClassification"])
def test_a_timesformer_initialised_from_an_image_vit_encodes_a_still_clip_like_the_image(tmp_path, name):
    model = image_vit(getattr(transformers, name))
    state, config = saved(model, tmp_path)
    assert recognised(state, config) == recognised(state) == [TRANSFORMERS_VIT.name]
    found = TRANSFORMERS_VIT.describe(state, config)
    params = read(found, state)
    assert (found.spec.attention_type, found.num_classes, found.spec.norm_eps) == ("divided", 0, 1e-12)

    image = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    pixels = torch.from_numpy(image.transpose(0, 3, 1, 2)).double()
    theirs = getattr(model, "vit", model).double()(pixels).last_hidden_state.detach().numpy()
    out = jax.jit(found.build().apply)({"params": params}, np.stack([image] * found.spec.num_frames, axis=1))
    np.testing.assert_allclose(out["cls"], theirs[:, 0], rtol=0, atol=2e-5 * np.abs(theirs).max())
    frames = np.asarray(out["tokens"]).reshape(2, found.spec.num_frames, 9, 18)
    for frame in range(found.spec.num_frames):
        np.testing.assert_allclose(frames[:, frame], theirs[:, 1:], rtol=0, atol=2e-5 * np.abs(theirs).max())


def test_attention_over_time_starts_as_a_copy_without_effect():
    spec = dataclasses.replace(SPEC, attention_type="space_only")
    state = official_state(spec, num_classes=1000, prefix="")  # attention within frames has a timm ViT's keys
    assert recognised(state) == [TIMM.name]
    found = TIMM.describe(state, None)
    assert "temporal_fc and time_embed start at zero" in found.notes[0]
    assert "a mean and deviation of 0.5, as for Google's ViTs, are assumed; DINO and DeiT use" in found.notes[1]
    assert "how many frames a clip has: 8, as published, are assumed" in found.notes[2]
    assert found.spec.norm_eps == 1e-6
    encoder = read(found, state)["encoder"]
    blocks = encoder["blocks"]
    same = jax.tree.map(np.array_equal, blocks["temporal_attn"], blocks["attn"])
    assert jax.tree.all(same)
    assert jax.tree.all(jax.tree.map(np.array_equal, blocks["temporal_norm"], blocks["norm1"]))
    assert blocks["temporal_fc"]["kernel"].shape == (2, 128, 128)
    assert not np.any(blocks["temporal_fc"]["kernel"])
    assert not np.any(blocks["temporal_fc"]["bias"])
    assert encoder["time_embed"].shape == (8, 128)
    assert not np.any(encoder["time_embed"])
