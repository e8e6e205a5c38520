"""`config.init_from` with public weights and runs: what is used, what is new, and the sentence about it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import peers
import pytest
import safetensors.numpy
import saved_runs

from vidjax.errors import ConfigError
from vidjax.main import read_config
from vidjax.tasks import build_objective
from vidjax.training.init.video_model import init_video_model
from vidjax.weights.pretrained import load
from vidjax.weights.read_run import read_params

TINY = {  # the sizes of videomae_tiny
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "intermediate_size": 384,
    "decoder_hidden_size": 64,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 256,
}
EXPERIMENT = """
from vidjax import config as config_lib

def get_config(arg=None):
    config = config_lib.defaults()
    config.update_from_flattened_dict({keys!r})
    return config
"""


def taken(source, label_map="", **changes):
    """The parameters of a run that starts from a source, and the sentence on what was used."""
    objective, params = saved_runs.objective_of(**changes)
    found, words = init_video_model(
        jax.device_put(params), objective.parts[0], str(source),
        mean=objective.mean, std=objective.std, label_map=str(label_map),
    )  # fmt: skip
    return params, found, words


def assert_same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.fixture(scope="module")
def image_model(tmp_path_factory):
    """A ViT for images of 16 pixels with the sizes of timesformer_tiny and vivit_tiny, saved by transformers."""
    sizes = {key: TINY[key] for key in ("hidden_size", "num_hidden_layers", "intermediate_size")}
    config = peers.transformers.ViTConfig(**sizes, num_attention_heads=4, patch_size=8, image_size=16, num_labels=7)
    model = peers.transformers.ViTForImageClassification(config)
    for parameter in model.parameters():
        peers.torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder := tmp_path_factory.mktemp("image"))
    return folder, safetensors.numpy.load_file(folder / "model.safetensors")


@pytest.fixture
def run_main(tmp_path):
    """Run one step of `python -m vidjax.main` that changes nothing; returns its parameters and output."""

    def run(init_from, **changes):
        still = {"optim.base_lr": 0.0, "optim.min_lr": 0.0, "optim.weight_decay": 0.0}
        keys = saved_runs.KEYS | still | changes
        (tmp_path / "config.py").write_text(EXPERIMENT.format(keys=keys))
        files = [f"--config={tmp_path / 'config.py'}", f"--workdir={tmp_path / 'run'}"]
        command = [sys.executable, "-m", "vidjax.main", *files, f"--config.init_from={init_from}"]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"})
        assert done.returncode == 0, done.stderr
        return read_params(tmp_path / "run")[1], done.stderr

    return run


@pytest.mark.slow
def test_fine_tuning_starts_from_a_pretrained_file_of_the_authors(tmp_path, run_main):
    peer = peers.pretraining(**TINY)
    peer.save_pretrained(tmp_path / "model")  # its config.json tells the number of heads
    file = tmp_path / "model" / "checkpoint.pth"
    peers.torch.save({"model": peers.official(peer)}, file)
    params, words = run_main(file, **{"optim.ema": 0.5})
    state = peers.official(peer)
    fc1 = np.stack([state[f"encoder.blocks.{block}.mlp.fc1.weight"].numpy().T for block in range(4)])
    np.testing.assert_array_equal(params["encoder"]["blocks"]["mlp"]["fc1"]["kernel"], fc1)
    assert params["head"]["kernel"].shape == (96, 3)
    assert f"starting from parameters of {file}; " in words
    assert "trained on pixels normalised by mean and std ((0.485, 0.456, 0.406)" in words
    assert "new: fc_norm, head; not used: decoder, encoder/norm, encoder_to_decoder, mask_token" in words
    assert_same(read_params(tmp_path / "run", ema=True)[1], params)


@pytest.mark.slow
def test_a_timesformer_starts_from_an_image_model(image_model, run_main):
    folder, state = image_model
    params, words = run_main(folder, **{"model.name": "timesformer_tiny", "data.num_frames": 3, "data.image_size": 24})
    encoder = params["encoder"]
    out = np.stack([state[f"vit.encoder.layer.{i}.attention.output.dense.weight"].T for i in range(4)])
    for attention in ("attn", "temporal_attn"):
        np.testing.assert_array_equal(encoder["blocks"][attention]["proj"]["kernel"].reshape(out.shape), out)
    assert not np.any(encoder["time_embed"])
    assert not np.any(encoder["blocks"]["temporal_fc"]["kernel"])
    table = state["vit.embeddings.position_embeddings"][0, 1:]
    np.testing.assert_array_equal(encoder["pos_embed"][1:], table[[0, 0, 1, 0, 0, 1, 2, 2, 3]])  # the nearest
    assert "attention over time starts as a copy of that over space" in words
    assert "encoder/pos_embed resized from 2x2 to 3x3 (h w; nearest)" in words
    assert "trained with norm_eps 1e-12, whereas the model has 1e-06" in words
    assert "new: head; not used: none" in words


@pytest.mark.slow
def test_a_vivit_starts_from_an_image_model(image_model, run_main):
    folder, state = image_model
    params, words = run_main(folder, **{"model.name": "vivit_tiny", "model.spec.factorization": "encoder"})
    patches = state["vit.embeddings.patch_embeddings.projection.weight"].transpose(2, 3, 1, 0).reshape(192, 96)
    kernel = params["encoder"]["patch_embed"]["kernel"].reshape(2, 192, 96)
    np.testing.assert_array_equal(kernel, [np.zeros_like(patches), patches])  # the central frame of two
    np.testing.assert_array_equal(params["encoder"]["pos_embed"], state["vit.embeddings.position_embeddings"][0])
    assert "tubelet_init=central_frame" in words
    assert "the temporal encoder starts fresh" in words
    assert "new: head; not used: none" in words


@pytest.mark.parametrize("tubelet_init", ["", "central_frame", "inflation"])
def test_model_tubelet_init_decides_how_the_kernel_of_cubes_is_initialised(image_model, tubelet_init):
    folder, state = image_model
    changes = {"model__spec__tubelet_init": tubelet_init} if tubelet_init else {}
    _, params, words = taken(folder, model__name="vivit_tiny", **changes)
    patches = state["vit.embeddings.patch_embeddings.projection.weight"].transpose(2, 3, 1, 0).reshape(192, 96)
    wanted = [patches / 2, patches / 2] if tubelet_init == "inflation" else [np.zeros_like(patches), patches]
    np.testing.assert_array_equal(np.asarray(params["encoder"]["patch_embed"]["kernel"]).reshape(2, 192, 96), wanted)
    assert f"tubelet_init={tubelet_init or 'central_frame'}" in words


def test_a_classifier_of_other_classes_contributes_all_except_its_head(tmp_path):
    peers.classifier(**TINY).save_pretrained(tmp_path)
    before, params, words = taken(tmp_path)
    wanted = load(tmp_path).params
    assert_same({key: params[key] for key in ("encoder", "fc_norm")}, {k: wanted[k] for k in ("encoder", "fc_norm")})
    assert_same(params["head"], before["head"])
    assert words.endswith("new: head; not used: head")


def test_a_pretraining_run_starts_a_classifier_of_longer_clips(pretraining_run):
    _, params, words = taken(pretraining_run, data__num_frames=8)
    _, wanted = read_params(pretraining_run)
    assert_same(params["encoder"], {key: wanted["encoder"][key] for key in ("patch_embed", "blocks")})
    assert words.startswith(
        f"parameters of {pretraining_run} at step 2; fixed sine-cosine positions computed for 4x2x2 cubes"
    )


def test_learned_positions_are_resized_on_the_way(tmp_path):
    sizes = {
        "hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384,
        "patch_size": 8, "image_size": 16, "num_frames": 4,
    }  # fmt: skip
    peer = peers.transformers.TimesformerForVideoClassification(peers.transformers.TimesformerConfig(**sizes))
    peer.save_pretrained(tmp_path)
    _, params, words = taken(tmp_path, model__name="timesformer_tiny", data__num_frames=8, data__image_size=24)
    wanted = load(tmp_path).params["encoder"]["time_embed"]
    np.testing.assert_array_equal(params["encoder"]["time_embed"], np.repeat(wanted, 2, axis=0))
    assert "encoder/pos_embed resized from 2x2 to 3x3 (h w; nearest)" in words
    assert "encoder/time_embed resized from 4 to 8 (t; nearest)" in words


def test_what_does_not_fit_is_refused(tmp_path):
    peers.classifier().save_pretrained(tmp_path / "narrow")
    with pytest.raises(ConfigError, match=r"does not fit .*: encoder/blocks/attn/proj/bias \(4, 96\) has"):
        taken(tmp_path / "narrow")
    with pytest.raises(
        ConfigError, match=r"holds a VideoMAE, but the model is a TimeSformer; name weights of a TimeSformer"
    ):
        taken(tmp_path / "narrow", model__name="timesformer_tiny")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"config\.init_from: the folder .* has no config\.json"):
        taken(tmp_path / "empty")
    text = peers.transformers.GPT2Config(n_embd=64, n_layer=1, n_head=1, n_inner=8, vocab_size=9, n_positions=5)
    peers.transformers.GPT2LMHeadModel(text).save_pretrained(tmp_path / "text")
    with pytest.raises(ConfigError, match=r"holds a GPT2, but the model is a VideoMAE; name weights of a VideoMAE"):
        taken(tmp_path / "text")


def test_a_temporal_encoder_of_another_depth_is_refused_not_started_fresh(make_run):
    model = {"model__name": "vivit_tiny", "model__spec__factorization": "encoder"}
    run = make_run(**model, model__spec__temporal_depth=3)
    with pytest.raises(ConfigError, match=r"has 3 blocks in its temporal encoder, .* model has 2; set .*_depth=3"):
        taken(run, **model)
    _, params, _ = taken(run, **model, model__spec__temporal_depth=3)
    assert_same(params["temporal"], read_params(run)[1]["temporal"])


def test_the_large_vivits_have_the_temporal_depth_of_their_sources():
    folder = Path(__file__).parents[2] / "configs"
    depths = {}
    for experiment in ("vivit_k400.py:large_fe", "vivit_k400.py:large_fe_24", "vivit_ssv2.py"):
        config = read_config([f"--config={folder / experiment}"])
        depths[experiment] = build_objective(config, 400).module.spec.temporal_depth
    assert list(depths.values()) == [4, 24, 4]  # the paper's, scenic's for Kinetics, scenic's for SSv2


def test_different_numerics_with_the_same_parameters_are_noted(make_run):
    run = make_run(model__name="videomamba_tiny")
    _, params, words = taken(run, model__name="videomamba_tiny", model__spec__merge_directions="mean")
    assert_same(params, read_params(run)[1])
    assert "trained with merge_directions sum, whereas the model has mean" in words


def test_a_head_is_reduced_to_fewer_classes_as_in_videomae_v2(tmp_path):
    """Its run_class_finetuning.py:578 indexes the checkpoint's `head.weight` and `head.bias` with the list."""
    peer = peers.classifier(hidden_size=384, num_attention_heads=6, num_labels=7)
    state, label_map = peers.official(peer), [6, 0, 3]
    peers.torch.save({"module": state}, tmp_path / "k7.pth")
    (tmp_path / "7to3.json").write_text(json.dumps(label_map))
    sizes = {"depth": 3, "mlp_dim": 40, "patch_size": 8}
    small = {"model__name": "videomae_small", "model__spec": sizes, "data__num_classes": 3}
    _, found, words = taken(tmp_path / "k7.pth", tmp_path / "7to3.json", **small)
    np.testing.assert_array_equal(found["head"]["kernel"].T, state["head.weight"][label_map].numpy())
    np.testing.assert_array_equal(found["head"]["bias"], state["head.bias"][label_map].numpy())
    assert f"its head's classes, 3 of 7, by {tmp_path / '7to3.json'}; new: none" in words
    random, fresh, words = taken(tmp_path / "k7.pth", **small)
    assert_same(fresh["head"], random["head"])  # without a map the head starts fresh
    assert "new: head" in words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[0, 1, 2, 0]", r"has 4 classes but the model has 3; use the map for the model's data set"),
        ("[0, 3, 1]", r"takes class 1 from class 3 of init_from, which has 3 classes, 0 to 2; use a map made for"),
        ("[0, -1, 1]", r"takes class 1 from class -1"),
        ('{"0": 1}', r"is not a JSON list of class numbers, such as misc/label_710to400.json"),
        ("[0.5, 1, 2]", r"is not a JSON list of class numbers"),
        ("0 1 2", r"is not a JSON list of class numbers, .*: Extra data"),
    ],
)
def test_a_wrong_label_map_is_refused_in_one_sentence(text, said, classifier_run, tmp_path):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(ConfigError, match=rf"^config.init_label_map='.*map.json' {said}"):
        taken(classifier_run, tmp_path / "map.json")


def test_a_missing_label_map_or_head_is_refused(classifier_run, pretraining_run, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file or directory\); name a JSON list"):
        taken(classifier_run, tmp_path / "gone.json")
    (tmp_path / "map.json").write_text("[0, 1, 2]")
    with pytest.raises(
        ConfigError, match=r"picks classes from a head, but init_from has no head; leave init_label_map empty"
    ):
        taken(pretraining_run, tmp_path / "map.json")
