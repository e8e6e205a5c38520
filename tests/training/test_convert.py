"""Foreign weights written as a run are the same model when read again, for any family and size."""

import dataclasses
import json

import jax
import numpy as np
import peers
import pytest

import vidjax
from vidjax.cli import main
from vidjax.config import from_saved
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import WeightsError
from vidjax.models import build_model
from vidjax.models.gpt2 import GPT2, GPT2Spec
from vidjax.training.convert import save_as_run
from vidjax.weights import Pretrained

CLIPS = {"num_frames": 4, "image_size": 16, "patch_size": 8}
HEADS = {"num_heads": 3, "mlp_dim": 20}


def pretrained(name, num_classes, **options):
    """A model of a size that no preset has, without parameters that are zero or small."""
    module = build_model(name, num_classes=num_classes, width=12, depth=3, **CLIPS | options)
    inputs = [np.zeros((1, *module.spec.clip_shape))]
    if num_classes is None:
        inputs += [np.zeros((1, 1), int), np.zeros((1, module.spec.num_tokens - 1), int)]
    shapes, rng = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"], np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    recipe = ClipRecipe(
        num_frames=4, stride=3, image_size=module.spec.image_size, interpolation="area", channels="bgr",
        mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), clips=2, crops=3, merge="sum_logits",
    )  # fmt: skip
    return Pretrained(module, params, module.spec, name.split("_")[0], recipe, source="elsewhere")


@pytest.mark.parametrize(
    ("name", "num_classes", "options"),
    [
        ("videomae_base", 5, HEADS | {"norm_eps": 1e-12, "fc_norm_eps": 1e-5}),
        ("videomae_base", 5, HEADS | {"pooling": "first", "tubelet_size": 1}),
        ("videomae_tiny", None, HEADS | {"decoder_width": 6, "decoder_depth": 1, "decoder_norm_eps": 1e-5}),
        ("timesformer_base", 5, HEADS | {"patch_size": 4}),
        ("timesformer_tiny", 0, HEADS | {"attention_type": "joint"}),
        ("vivit_tiny", 5, HEADS | {"factorization": "self_attention"}),
        ("vivit_tiny", 5, HEADS | {"factorization": "encoder", "temporal_depth": 1}),
        ("videomamba_tiny", 5, {"expand": 3, "state_size": 5, "merge_directions": "mean"}),
        ("vjepa2_tiny", 5, {"num_heads": 2, "mlp_dim": 20, "pooler_heads": 3, "pooler_depth": 2, "levels": (0, 2)}),
        ("vjepa2_large", 0, {"num_heads": 1, "mlp_dim": 20, "pooler_heads": 1}),
    ],
)
def test_what_is_written_as_a_run_is_read_as_the_same_model(tmp_path, name, num_classes, options):
    model = pretrained(name, num_classes, **options)
    model = dataclasses.replace(model, labels=tuple("abcde") if num_classes else None)
    save_as_run(model, tmp_path)
    again = vidjax.from_pretrained(tmp_path)
    assert again.module == model.module  # with its spec and number of classes
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    for field in ("family", "clip_recipe", "labels"):
        assert getattr(again, field) == getattr(model, field), field
    config = from_saved(json.loads((tmp_path / "config.json").read_text()))
    assert (config.data.stride, config.data.sampling, config.data.num_frames) == (3, "dense", 4)
    assert config.model.name.split("_")[0] == model.family


def test_temporal_blocks_that_a_model_does_not_have_are_left_out_of_its_run(tmp_path):
    """A configuration that sets them is refused when the run is read."""
    model = pretrained("vivit_tiny", 5, **HEADS)
    spec = dataclasses.replace(model.spec, temporal_depth=7)
    save_as_run(dataclasses.replace(model, module=model.module.clone(spec=spec), spec=spec), tmp_path)
    assert vidjax.from_pretrained(tmp_path).spec == model.spec


def test_a_model_with_frames_that_are_not_square_is_refused(tmp_path):
    model = pretrained("timesformer_tiny", 5, **HEADS, image_size=(16, 24))
    with pytest.raises(WeightsError, match="elsewhere takes frames of 16x24; a run needs square frames"):
        save_as_run(model, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_language_model_is_refused(tmp_path):
    spec = GPT2Spec(width=8, depth=1, num_heads=1, mlp_dim=8, vocab_size=5, num_positions=3)
    model = Pretrained(GPT2(spec), {}, spec, "gpt2", source="words")
    with pytest.raises(WeightsError, match="words holds a gpt2, which takes no clips and cannot become a run"):
        save_as_run(model, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_was_assumed_or_changed_is_printed(tmp_path, capsys):
    peer = peers.classifier(hidden_size=384, num_attention_heads=6, num_hidden_layers=1)
    state = peers.official(peer)
    peers.torch.save({"model": state, "model_ema": state}, tmp_path / "checkpoint.pth")
    assert main(["convert", str(tmp_path / "checkpoint.pth"), str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    for note in ("the file holds model and model_ema; model is used", "the file does not say which clips it takes"):
        assert f"note: {note}" in said
