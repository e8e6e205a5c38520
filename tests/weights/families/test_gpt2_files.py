"""GPT-2 checkpoints of `transformers`: read with `vidjax.from_pretrained`, written with `export`, or refused."""

import dataclasses
import json

import jax
import numpy as np
import pytest

pytest.importorskip("torch", reason="the oracle is PyTorch's GPT-2 (extra: test)")
pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")

import torch
import transformers
from gpt2_peer import SPECS, peer, random_inputs, state_of, torch_states
from safetensors.numpy import load_file, save_file

import vidjax
from vidjax.errors import ConfigError, WeightsError
from vidjax.models.gpt2 import GPT2Spec
from vidjax.weights.export_files import export
from vidjax.weights.families.gpt2 import with_cross_attention

PLAIN, CROSS = "one layer, odd vocabulary", "three layers, cross-attention"


def logits_of(model, inputs):
    tokens, states, mask = inputs
    with torch.no_grad():
        return model(torch.from_numpy(tokens.astype(np.int64)), **torch_states(states, mask)).logits.numpy()


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("name", SPECS)
def test_a_transformers_folder_round_trips_with_the_same_logits(name, tmp_path):
    model = peer(SPECS[name])
    model.save_pretrained(tmp_path / "theirs")
    ours = vidjax.from_pretrained(tmp_path / "theirs")
    assert ours.family == "gpt2"
    assert ours.spec == SPECS[name]
    assert ours.notes == ()
    inputs = random_inputs(SPECS[name], rows=2, length=9)
    expected = logits_of(model, inputs)
    close(jax.jit(ours.module.apply)({"params": ours.params}, *inputs)["logits"], expected)

    export(ours, tmp_path / "ours")
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "ours").eval()
    np.testing.assert_array_equal(logits_of(again, inputs), expected)
    for key, array in state_of(model).items():
        np.testing.assert_array_equal(state_of(again)[key], array, err_msg=key)


def write_variant(folder, state, config=None):
    folder.mkdir()
    save_file({key: np.ascontiguousarray(value) for key, value in state.items()}, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder if config is not None else folder / "model.safetensors"


@pytest.fixture
def plain(tmp_path):
    """A state without a prefix, as in the first published file, and its config.json."""
    model = peer(SPECS[PLAIN])
    model.save_pretrained(tmp_path / "whole")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    return {key.removeprefix("transformer."): value for key, value in state_of(model).items()}, config


def test_older_files_without_prefix_but_with_buffers_and_tied_head_are_read(plain, tmp_path):
    state, config = plain
    state |= {
        "h.0.attn.bias": np.tril(np.ones((1, 1, 19, 19), np.uint8)),
        "h.0.attn.masked_bias": np.float32(-1e4).reshape(1),
        "lm_head.weight": state["wte.weight"],
    }
    ours = vidjax.from_pretrained(write_variant(tmp_path / "old", state, config))
    np.testing.assert_array_equal(ours.params["wte"], state["wte.weight"])
    # Conv1D: inputs first; columns q, k, v, each with its heads one after another.
    fused = state["h.0.attn.c_attn.weight"]
    np.testing.assert_array_equal(ours.params["blocks"]["attn"]["qkv"]["kernel"][0, :, 1, 2], fused[:, 25:30])


@pytest.mark.parametrize("name", ["pytorch_model.bin", "gpt2.pth"])
def test_a_file_of_pytorch_is_read_as_well(plain, tmp_path, name):
    state, config = plain
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    torch.save({key: torch.from_numpy(value.copy()) for key, value in state.items()}, tmp_path / "old" / name)
    ours = vidjax.from_pretrained(tmp_path / "old" if name.endswith("bin") else tmp_path / "old" / name)
    inputs = random_inputs(ours.spec, rows=2, length=9)
    expected = logits_of(transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "whole").eval(), inputs)
    close(jax.jit(ours.module.apply)({"params": ours.params}, *inputs)["logits"], expected)


def test_a_lone_file_is_assumed_to_have_heads_of_the_published_width(tmp_path):
    spec = GPT2Spec(width=128, depth=1, num_heads=2, mlp_dim=16, vocab_size=9, num_positions=5)
    assert vidjax.from_pretrained(write_variant(tmp_path / "lone", state_of(peer(spec)))).spec == spec


def test_a_lone_file_of_unusual_width_asks_for_its_config(plain, tmp_path):
    with pytest.raises(
        WeightsError, match=r"a width of 15 does not determine the number of heads: .* put a config.json"
    ):
        vidjax.from_pretrained(write_variant(tmp_path / "lone", plain[0]))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"activation_function": "relu"}, "activation_function='relu'; only a GPT-2 with 'gelu_new' can be read"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"n_layer": 12}, "config.json says n_layer=12, but the arrays have 1"),
        ({"n_head": 4}, "width=15 is not a multiple of its 4 attention heads"),
    ],
)
def test_a_config_that_contradicts_the_arrays_is_refused(plain, tmp_path, changes, sentence):
    state, config = plain
    with pytest.raises(WeightsError, match=sentence):
        vidjax.from_pretrained(write_variant(tmp_path / "odd", state, config | changes))


def test_missing_unused_and_misshaped_keys_and_an_untied_head_are_refused(plain, tmp_path):
    state, config = plain
    cases = {
        "missing": ({key: value for key, value in state.items() if key != "ln_f.bias"}, "missing: ln_f.bias"),
        "unused": (state | {"score.weight": np.ones((2, 15), np.float32)}, "unused: score.weight"),
        "shape": (state | {"h.0.mlp.c_proj.weight": np.ones((15, 31), np.float32)}, "of another shape: h.*mlp.c_proj"),
        "head": (state | {"lm_head.weight": state["wte.weight"] + 1}, "lm_head.weight differs from wte.weight"),
    }
    for name, (arrays, sentence) in cases.items():
        with pytest.raises(WeightsError, match=sentence):
            vidjax.from_pretrained(write_variant(tmp_path / name, arrays, config))


@pytest.mark.parametrize("stray", ["h.0.crossattention.q_attn.bias", "h.0.attn.q_attn.bias", "h.0.old_attn.bias"])
def test_among_keys_ending_in_bias_only_the_masks_are_ignored(plain, tmp_path, stray):
    state, config = plain
    with pytest.raises(WeightsError, match=f"1 key is unused: {stray}"):
        vidjax.from_pretrained(write_variant(tmp_path / "stray", state | {stray: np.ones(15, np.float32)}, config))


@pytest.mark.parametrize("alone", [False, True])
def test_a_captioners_language_model_is_read_and_its_encoder_keys_are_named(tmp_path, alone):
    """A TimeSformer and a GPT-2 in one file, as transformers saves a VisionEncoderDecoderModel."""
    frames = {"image_size": 8, "patch_size": 4, "num_frames": 2}
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    encoder = transformers.TimesformerModel(transformers.TimesformerConfig(**sizes, **frames))
    decoder = peer(SPECS[CROSS])
    whole = transformers.VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    whole.save_pretrained(tmp_path / "captioner")
    if alone:
        state = load_file(tmp_path / "captioner" / "model.safetensors")
        save_file(
            {key: value for key, value in state.items() if key.startswith("decoder.")},
            tmp_path / "captioner" / "model.safetensors",
        )
    ours = vidjax.from_pretrained(tmp_path / "captioner")
    assert ours.spec == SPECS[CROSS]
    inputs = random_inputs(SPECS[CROSS], rows=2, length=9)
    close(jax.jit(ours.module.apply)({"params": ours.params}, *inputs)["logits"], logits_of(decoder, inputs))
    if alone:
        assert ours.notes == ()
    else:
        assert ours.notes[0].startswith(
            "only the language model of this encoder-decoder model is read; not used: encoder."
        )


def test_cross_attention_is_added_to_a_language_model_without_changing_it(plain, tmp_path):
    ours = vidjax.from_pretrained(write_variant(tmp_path / "plain", *plain))
    module, params, notes = with_cross_attention(ours.module, ours.params, jax.random.key(0))
    assert module.spec == dataclasses.replace(ours.spec, cross_attention=True)
    assert "no cross-attention" in notes[0]
    tokens, _, _ = random_inputs(ours.spec, rows=2, length=6)
    states = np.random.default_rng(0).normal(size=(2, 4, 15)).astype(np.float32)
    expected = ours.module.apply({"params": ours.params}, tokens)["logits"]
    np.testing.assert_array_equal(module.apply({"params": params}, tokens, states)["logits"], expected)
    wanted = jax.eval_shape(module.init, jax.random.key(0), tokens, states)["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, wanted)
    assert np.std(params["blocks"]["cross_attn"]["q"]["kernel"]) > 0.01
    # A model with cross-attention is unchanged.
    assert with_cross_attention(module, params, jax.random.key(1)) == (module, params, ())


def test_missing_cross_attention_that_config_json_promises_is_noted(plain, tmp_path):
    state, config = plain
    ours = vidjax.from_pretrained(write_variant(tmp_path / "promise", state, config | {"add_cross_attention": True}))
    assert not ours.spec.cross_attention
    assert "loaded without" in ours.notes[0]


def test_a_language_model_takes_no_clips(plain, tmp_path):
    folder = write_variant(tmp_path / "plain", *plain)
    with pytest.raises(ConfigError, match="holds a gpt2 that cannot be changed; leave out num_frames"):
        vidjax.from_pretrained(folder, num_frames=8)
    with pytest.raises(ConfigError, match="takes no clips"):
        vidjax.from_pretrained(folder)(np.zeros((1, 8, 16, 16, 3), np.uint8))


def test_exported_arrays_keep_the_layout_of_conv1d(tmp_path):
    spec = SPECS[CROSS]
    model = peer(spec)
    model.save_pretrained(tmp_path / "theirs")
    export(vidjax.from_pretrained(tmp_path / "theirs"), tmp_path / "ours")
    shapes = {key: array.shape for key, array in load_file(tmp_path / "ours" / "model.safetensors").items()}
    assert shapes["transformer.h.2.crossattention.c_attn.weight"] == (32, 64)
    assert shapes["transformer.h.0.mlp.c_fc.weight"] == (32, 128)
