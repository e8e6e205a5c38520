"""Exported folders in `transformers`: the same logits, and a note where they differ."""

import json

import jax
import numpy as np
import peers
import pytest
import saved_runs
from peers import torch, transformers

import vidjax
from vidjax import ops
from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import WeightsError
from vidjax.models import build_model
from vidjax.training import loop
from vidjax.weights import Pretrained, export

HALVES = ClipRecipe(num_frames=4, image_size=16, mean=(0.5,) * 3, std=(0.5,) * 3)


def ours(model, clips):
    return jax.jit(model.module.apply)({"params": model.params}, clips)["logits"]


def random_params(module):
    """Random parameters, none zero or small; kernels keep the scale of their inputs."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, *module.spec.clip_shape)))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: (rng.normal(size=leaf.shape) / leaf.shape[-1] ** 0.5).astype(np.float32), shapes)


@pytest.mark.parametrize("options", [{}, {"use_mean_pooling": False, "tubelet_size": 1}])
def test_a_classifier_from_transformers_is_exported_bit_for_bit(tmp_path, options):
    peer = peers.classifier(
        **options, id2label=dict(enumerate("abcde")), label2id={c: i for i, c in enumerate("abcde")}
    )
    peer.save_pretrained(tmp_path / "theirs")
    assert export(vidjax.from_pretrained(tmp_path / "theirs"), tmp_path / "ours") == ()
    assert (tmp_path / "ours" / "model.safetensors").stat().st_mode & 0o044 == 0o044  # others may read it
    again = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path / "ours").eval()
    assert again.config.id2label == dict(enumerate("abcde"))
    for (name, one), two in zip(peer.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    clips = peers.random_clips()
    np.testing.assert_array_equal(peers.logits_of(again, clips), peers.logits_of(peer, clips))


def test_a_pretraining_run_reconstructs_the_same_in_transformers(tmp_path, pretraining_run):
    model = vidjax.from_pretrained(pretraining_run)
    notes = export(model, tmp_path / "out")
    assert notes == (
        "decoder_norm_eps is 1e-05 in transformers, whose config.json cannot change it, and 1e-06 here: outputs differ "
        "by more than rounding",
    )
    peer = transformers.VideoMAEForPreTraining.from_pretrained(tmp_path / "out").eval().double()
    peer.decoder.norm.eps = 1e-6
    clips = peers.random_clips()
    visible, masked = ops.tube_mask(jax.random.key(0), 2, model.spec.grid, 0.5)
    hidden = np.zeros((2, model.spec.num_tokens), bool)
    np.put_along_axis(hidden, np.asarray(masked), True, axis=1)
    with torch.no_grad():
        theirs = peer(torch.from_numpy(clips).double().permute(0, 1, 4, 2, 3), torch.from_numpy(hidden)).logits
    found = jax.jit(model.module.apply)({"params": model.params}, clips, visible, masked)["reconstruction"]
    peers.assert_close(found, theirs)


def test_a_classification_run_has_its_logits_in_transformers_except_for_the_noted_epsilon(tmp_path, classifier_run):
    model = vidjax.from_pretrained(classifier_run)
    notes = export(model, tmp_path / "out")
    assert [note.split(" ")[0] for note in notes] == ["fc_norm_eps"]
    peer = transformers.VideoMAEForVideoClassification.from_pretrained(tmp_path / "out").eval()
    clips = peers.random_clips()
    peer.fc_norm.eps = 1e-6
    peers.assert_close(ours(model, clips), peers.logits_of(peer, clips))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
    assert processor.image_mean == pytest.approx([0.4, 0.5, 0.6])
    assert (processor.crop_size["height"], processor.size["shortest_edge"]) == (16, 16)


@pytest.mark.slow
def test_a_timesformer_that_has_trained_gives_its_logits_in_transformers(tmp_path):
    """The checkpoint of a real run of two steps, not parameters made for the test."""
    config = saved_runs.make_config(model__name="timesformer_tiny", train__steps=2, model__dtype="float32")
    loop.train(config, tmp_path / "run")
    model = vidjax.from_pretrained(tmp_path / "run")
    assert np.any(model.params["encoder"]["blocks"]["temporal_fc"]["bias"])  # which starts at zero
    assert export(model, tmp_path / "out") == ()
    peer = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path / "out").eval()
    clips = peers.random_clips()
    peers.assert_close(ours(model, clips), peers.logits_of(peer, clips))


def test_a_processor_that_pads_instead_of_cropping_is_noted(tmp_path):
    """For square frames the pixels are the same; otherwise a processor of transformers leaves a black border."""
    options = {"width": 12, "depth": 1, "num_heads": 2, "mlp_dim": 8, "num_frames": 2}
    video = np.full((2, 16, 20, 3), 255, np.uint8)
    for image_size, pads in ((16, False), ((16, 24), True)):
        module = build_model("vivit_tiny", num_classes=2, image_size=image_size, **options)
        recipe = ClipRecipe(num_frames=2, image_size=image_size, mean=(0.0,) * 3, std=(1.0,) * 3)
        model = Pretrained(module, random_params(module), module.spec, "vivit", recipe)
        notes = export(model, folder := tmp_path / str(pads))
        assert any("pads to 16 x 24 with black" in note for note in notes) == pads
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        pixels = np.asarray(processor(list(video), return_tensors="np")["pixel_values"])
        assert (pixels.min() < 1) == pads
        assert eval_crops(video, recipe).min() == 255


@pytest.mark.parametrize("name", ["timesformer_tiny", "vivit_tiny"])
def test_other_families_give_the_same_logits_in_transformers(tmp_path, name):
    options = {"width": 24, "depth": 3, "num_heads": 4, "mlp_dim": 40, "num_frames": 4, "image_size": 16}
    module = build_model(name, num_classes=5, **options)
    family = name.split("_")[0]
    model = Pretrained(module, random_params(module), module.spec, family, HALVES)
    assert export(model, tmp_path / "out") == ()
    peer = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path / "out").eval()
    clips = peers.random_clips()
    peers.assert_close(ours(model, clips), peers.logits_of(peer, clips))
    again = vidjax.from_pretrained(tmp_path / "out")
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    assert again.mean == (0.5,) * 3


@pytest.mark.parametrize("name", ["timesformer_tiny", "vivit_tiny"])
def test_a_model_without_head_gives_the_same_class_token_in_transformers(tmp_path, name):
    options = {"width": 24, "depth": 2, "num_heads": 4, "mlp_dim": 40, "num_frames": 4, "image_size": 16}
    module = build_model(name, num_classes=0, **options)
    model = Pretrained(module, random_params(module), module.spec, name.split("_")[0], HALVES)
    export(model, tmp_path / "out")
    peer, loading = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert all("pooler" in key for kind in loading.values() for key in kind)  # ViViT's, which is not part of the model
    clips = peers.random_clips()
    with torch.no_grad():
        hidden = peer.eval().double()(torch.from_numpy(clips).double().permute(0, 1, 4, 2, 3)).last_hidden_state
    found = jax.jit(module.apply)({"params": model.params}, clips)["cls"]
    peers.assert_close(found, hidden[:, 0])
    assert type(peer).__name__ == json.loads((tmp_path / "out" / "config.json").read_text())["architectures"][0]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        pytest.param(
            "videomamba_tiny", {"width": 32, "depth": 2}, "transformers has no videomamba", marks=pytest.mark.slow
        ),
        (
            "vivit_tiny",
            {"width": 24, "num_heads": 4, "factorization": "encoder"},
            "transformers only has ViViT's model 1",
        ),
    ],
)
def test_models_that_transformers_lacks_are_written_under_the_authors_names_and_read_again(
    tmp_path, name, options, words
):
    module = build_model(name, num_classes=5, num_frames=4, image_size=16, **options)
    model = Pretrained(module, random_params(module), module.spec, name.split("_")[0], HALVES)
    notes = export(model, tmp_path / "out")
    assert words in notes[0]
    assert "the arrays are written in the layout" in notes[0]
    assert not (tmp_path / "out" / "config.json").exists()
    again = vidjax.from_pretrained(tmp_path / "out" / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    assert again.spec == module.spec


def test_a_model_without_counterpart_is_refused(tmp_path):
    module = build_model("videomae_tiny", num_classes=0, num_frames=4, image_size=16)
    model = Pretrained(module, random_params(module), module.spec, "videomae", HALVES)
    with pytest.raises(WeightsError, match="transformers has no VideoMAE without a head"):
        export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export_does_not_overwrite_a_model(tmp_path):
    peers.classifier().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"already holds a model\.safetensors"):
        export(vidjax.from_pretrained(tmp_path), tmp_path)
