"""VideoMAE checkpoints in every layout: the same outputs as PyTorch, and the known pitfalls."""

import json

import jax
import numpy as np
import peers
import pytest
import safetensors.numpy
from peers import torch
from safetensors.torch import save_file

import vidjax
from vidjax import ops
from vidjax.errors import WeightsError
from vidjax.training.convert import save_as_run
from vidjax.weights import export
from vidjax.weights.families.videomae import LAYOUTS
from vidjax.weights.pretrained import load


def apply(model, clips):
    return jax.jit(model.module.apply)({"params": model.params}, clips)


def edit(folder, states=None, **config):
    """Change a saved folder: its arrays with a function, and keys of its config.json."""
    path, weights = folder / "config.json", folder / "model.safetensors"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    if states:
        safetensors.numpy.save_file(states(safetensors.numpy.load_file(weights)), weights)
    return folder


def renamed(state):
    """Rename the biases as transformers 5 did for a while."""
    names = {"attention.q_bias": "attention.query.bias", "attention.v_bias": "attention.value.bias"}
    for old, new in names.items():
        state = {key.replace(old, new): value for key, value in state.items()}
    return state


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_mean_pooling": False, "layer_norm_eps": 1e-3},
        {"tubelet_size": 1, "num_frames": 3, "image_size": (16, 40), "hidden_size": 42, "num_attention_heads": 7},
        {"num_hidden_layers": 5, "num_frames": 8, "layer_norm_eps": 1e-2},
    ],
    ids=["mean", "first token", "wide", "deep"],
)
def test_a_classifier_of_transformers_gives_its_logits(tmp_path, options):
    peer = peers.classifier(**options)
    peer.save_pretrained(tmp_path)
    model = vidjax.from_pretrained(tmp_path)
    clips = peers.random_clips(model.spec.num_frames, *model.spec.frame_size)
    peers.assert_close(apply(model, clips)["logits"], peers.logits_of(peer, clips))
    assert model.notes == ()
    assert model.num_classes == 5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tubelet_size": 1, "layer_norm_eps": 1e-3, "decoder_num_hidden_layers": 3},
        {"use_mean_pooling": True},  # the default of transformers, without the encoder's final norm
    ],
)
def test_a_pretraining_model_of_transformers_gives_its_reconstruction_and_tokens(tmp_path, options):
    peer = peers.pretraining(**options)
    peer.save_pretrained(tmp_path)
    model = vidjax.from_pretrained(tmp_path)
    clips = peers.random_clips()
    visible, masked = ops.tube_mask(jax.random.key(0), 2, model.spec.grid, 0.5)
    hidden = np.zeros((2, model.spec.num_tokens), bool)
    np.put_along_axis(hidden, np.asarray(masked), True, axis=1)
    pixels = torch.from_numpy(clips).double().permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        theirs = peer.double()(pixels, torch.from_numpy(hidden)).logits
        tokens = peer.videomae(pixels).last_hidden_state
    ours = jax.jit(model.module.apply)({"params": model.params}, clips, visible, masked)["reconstruction"]
    peers.assert_close(ours, theirs)
    patches = ops.patchify(clips, model.spec.tubelet_size, model.spec.patch_size)
    encode = jax.jit(lambda params: model.module.apply({"params": params}, patches, method=lambda m, x: m.encoder(x)))
    peers.assert_close(encode(model.params), tokens)


def test_biases_under_old_and_new_transformers_names_are_read_and_never_left_at_zero(tmp_path):
    peer = peers.classifier()
    peer.save_pretrained(tmp_path)
    old = load(tmp_path).params["encoder"]["blocks"]["attn"]["qkv"]
    new = load(edit(tmp_path, renamed)).params["encoder"]["blocks"]["attn"]["qkv"]
    wanted = np.stack([layer.attention.attention.query.bias.detach() for layer in peer.videomae.encoder.layer])
    for found in (old, new):
        np.testing.assert_array_equal(found["q_bias"].reshape(3, -1), wanted)
    edit(tmp_path, lambda state: {key: value for key, value in state.items() if not key.endswith("value.bias")})
    with pytest.raises(
        WeightsError, match=r"3 keys are missing: .*encoder\.layer\.0\.attention\.attention\.value\.bias"
    ):
        load(tmp_path)


@pytest.mark.parametrize("wrapper", ["model", "module", None])
def test_the_authors_fine_tuned_file_gives_the_logits_of_the_same_weights(tmp_path, wrapper):
    peer = peers.with_eps(peers.classifier(hidden_size=384, num_attention_heads=6, num_hidden_layers=2), 1e-6)
    state = peers.official(peer)
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "checkpoint.pth")
    sizes = {"image_size": 16, "num_frames": 4}
    model = vidjax.from_pretrained(tmp_path / "checkpoint.pth", **sizes)
    assert model.spec.num_heads == 6  # as in the published model of this width
    assert model.spec.norm_eps == model.spec.fc_norm_eps == 1e-6
    clips = peers.random_clips()
    peers.assert_close(apply(model, clips)["logits"], peers.logits_of(peer, clips))
    assert "16 frames of 224 pixels, as published" in model.notes[0]
    assert "fixed sine-cosine positions computed for 2x2x2 cubes" in model.notes[-1]


def test_the_authors_pretraining_file_is_the_autoencoder_of_the_same_weights(tmp_path):
    peer = peers.pretraining()
    peer.save_pretrained(tmp_path)
    torch.save({"module": peers.official(peer)}, tmp_path / "checkpoint.pth")
    theirs, ours = load(tmp_path), load(tmp_path / "checkpoint.pth")  # it has the config.json beside it
    jax.tree.map(np.testing.assert_array_equal, ours.params, theirs.params)
    assert ours.num_classes is None
    assert ours.spec.norm_eps == ours.spec.decoder_norm_eps == 1e-6


def test_a_safetensors_file_of_videomae_v2_on_the_hub_is_the_backbone_of_the_same_weights(tmp_path):
    peer = peers.with_eps(peers.classifier(hidden_size=384, num_attention_heads=6), 1e-6)
    state = {f"model.{key}": value for key, value in peers.official(peer).items() if not key.startswith("head.")}
    save_file(state, tmp_path / "v2.safetensors")
    model = vidjax.from_pretrained(tmp_path / "v2.safetensors", image_size=16, num_frames=4)
    clips = peers.random_clips()
    with torch.no_grad():
        hidden = peer.double().videomae(torch.from_numpy(clips).double().permute(0, 1, 4, 2, 3)).last_hidden_state
        pooled = peer.fc_norm(hidden.mean(1))
    peers.assert_close(apply(model, clips)["pooled"], pooled)
    assert (model.num_classes, model.clip_recipe.merge, model.mean) == (0, "mean_softmax", (0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("width", "patch", "heads"), [(384, 16, 6), (768, 16, 12), (1024, 16, 16), (1280, 16, 16), (1408, 14, 16)]
)
def test_heads_of_an_authors_file_are_those_published_for_its_width(width, patch, heads):
    """Sizes: VideoMAE's modeling_finetune.py, and VideoMAE V2's for the giant model."""
    shapes = {"patch_embed.proj.weight": (width, 3, 2, patch, patch), "fc_norm.weight": (width,)}
    shapes |= {"blocks.0.attn.qkv.weight": (3 * width, width), "blocks.0.mlp.fc1.weight": (99, width)}
    spec = LAYOUTS[0].describe({key: np.broadcast_to(0.0, shape) for key, shape in shapes.items()}, None).spec
    assert (spec.width, spec.num_heads, spec.patch_size, spec.mlp_dim) == (width, heads, patch, 99)


def test_the_small_model_has_six_heads_whatever_its_config_says(tmp_path):
    sizes = {"hidden_size": 384, "num_hidden_layers": 12, "intermediate_size": 8, "decoder_hidden_size": 192}
    right = peers.pretraining(**sizes, num_attention_heads=6, decoder_num_attention_heads=3)
    right.save_pretrained(tmp_path)
    edit(tmp_path, num_attention_heads=16, decoder_num_attention_heads=16, decoder_num_hidden_layers=12)
    model = load(tmp_path)
    assert (model.spec.num_heads, model.spec.decoder_heads, model.spec.decoder_depth) == (6, 3, 1)
    assert model.notes == (
        "config.json says 16 heads; 6, and 3 in the decoder, are used, as in the published small model",
        "config.json says 12 decoder layers; the file holds 1, which are used",
    )


def test_an_encoder_alone_is_a_backbone_with_a_note(tmp_path):
    state = peers.official(peers.pretraining(hidden_size=384, num_attention_heads=6))
    torch.save({"model": {k: v for k, v in state.items() if not k.startswith("decoder.")}}, tmp_path / "huge.pth")
    model = load(tmp_path / "huge.pth")  # as the public file of ViT-H
    assert model.num_classes == 0
    assert "an encoder without a decoder or head" in " ".join(model.notes)
    classifier = vidjax.from_pretrained(tmp_path / "huge.pth", num_classes=3)
    assert classifier.spec.pooling == "mean"
    assert "starts fresh: fc_norm" in classifier.notes


def test_labels_are_those_of_config_json_if_they_are_names(tmp_path):
    peers.classifier().save_pretrained(tmp_path)
    assert load(tmp_path).labels is None  # LABEL_0 is not a name
    names = ["archery", "bowling", "crawling", "dancing", "eating"]
    edit(tmp_path, id2label=dict(enumerate(names)))
    assert load(tmp_path).labels == tuple(names)
    for malformed in (names, {"x": "archery"}):
        edit(tmp_path, id2label=malformed)
        with pytest.raises(WeightsError, match=r"id2label=.*archery.*, which does not map class numbers to names"):
            load(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 32}, "says hidden_size=32, but the arrays have 24"),
        ({"num_hidden_layers": 4}, "says num_hidden_layers=4, but the arrays have 3"),
        ({"hidden_act": "relu"}, "hidden_act='relu'; a VideoMAE has gelu"),
        ({"num_attention_heads": 5}, "width=24 is not a multiple of its 5 attention heads"),
    ],
)
def test_a_config_json_that_contradicts_the_arrays_is_refused(tmp_path, change, words):
    peers.classifier().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=words) as caught:
        load(edit(tmp_path, **change))
    assert str(tmp_path) in str(caught.value)


def test_cosine_attention_is_refused(tmp_path):
    state = peers.official(peers.classifier()) | {"blocks.0.attn.scale": torch.ones(4, 1, 1)}
    torch.save({"module": state}, tmp_path / "v2.pth")
    with pytest.raises(WeightsError, match="cosine attention"):
        load(tmp_path / "v2.pth")


def test_a_pretraining_model_without_final_norm_becomes_a_classifier_and_goes_back_to_transformers(tmp_path):
    peer = peers.pretraining(use_mean_pooling=True)
    peer.save_pretrained(tmp_path / "theirs")
    classifier = vidjax.from_pretrained(tmp_path / "theirs", num_classes=3)
    assert "starts fresh: fc_norm" in classifier.notes
    save_as_run(vidjax.from_pretrained(tmp_path / "theirs"), tmp_path / "run")
    export(vidjax.from_pretrained(tmp_path / "run"), tmp_path / "ours")
    again = peers.transformers.VideoMAEForPreTraining.from_pretrained(tmp_path / "ours")
    for (name, one), two in zip(peer.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_a_pretraining_model_whose_final_norm_is_lost_is_refused(tmp_path):
    peers.pretraining().save_pretrained(tmp_path)
    with pytest.raises(
        WeightsError, match=r"2 keys are missing: videomae\.layernorm\.bias, videomae\.layernorm\.weight"
    ):
        load(edit(tmp_path, lambda state: {key: value for key, value in state.items() if "e.layernorm." not in key}))


def test_unknown_heads_are_not_guessed(tmp_path):
    torch.save({"model": peers.official(peers.classifier())}, tmp_path / "checkpoint.pth")
    with pytest.raises(
        WeightsError, match="a width of 24, which no published VideoMAE has, does not determine the number of heads"
    ):
        load(tmp_path / "checkpoint.pth")


def test_every_key_is_accounted_for(tmp_path):
    peers.classifier().save_pretrained(tmp_path)

    def spoil(state):
        state["extra.weight"] = np.zeros(3, np.float32)
        state["fc_norm.bias"] = np.zeros(7, np.float32)
        return state

    with pytest.raises(WeightsError) as caught:
        load(edit(tmp_path, spoil))
    assert "1 key is unused: extra.weight" in str(caught.value)
    assert "1 key is of another shape: fc_norm.bias (7,) instead of (24,) for fc_norm/bias" in str(caught.value)
