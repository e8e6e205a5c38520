"""`config.init_from` with public weights and runs: what is taken, what is new, and that it is said."""

import conftest
import jax
import numpy as np
import peers
import pytest

from vidjax.errors import ConfigError
from vidjax.training import train
from vidjax.training.transfer import take_over
from vidjax.weights.pretrained import load
from vidjax.weights.runs import read_params

TINY = {  # the sizes of videomae_tiny
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "intermediate_size": 384,
    "decoder_hidden_size": 64,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 256,
}


def taken(source, **changes):
    """Parameters of such a run after the take-over, and the sentence that says what it was."""
    objective, params = conftest.objective_of(**changes)
    found, words = take_over(jax.device_put(params), str(source), objective)
    return params, found, words


def assert_same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.slow
def test_a_run_starts_from_a_pretrained_file_of_others(tmp_path, capsys):
    peers.pretraining(**TINY).save_pretrained(tmp_path / "model")
    still = {"optim__base_lr": 0.0, "optim__min_lr": 0.0, "optim__weight_decay": 0.0, "optim__ema": 0.5}
    train(conftest.make_config(init_from=str(tmp_path / "model"), **still), tmp_path / "run")
    words, (_, params) = capsys.readouterr().err, read_params(tmp_path / "run")
    wanted = load(tmp_path / "model").params["encoder"]
    assert_same(params["encoder"], {key: wanted[key] for key in ("patch_embed", "blocks")})
    assert f"starting from parameters of {tmp_path / 'model'}; made for pixels of mean and deviation" in words
    assert "new: fc_norm, head; not used: decoder, encoder/norm, encoder_to_decoder, mask_token" in words
    assert_same(read_params(tmp_path / "run", ema=True)[1], params)


def test_a_classifier_of_other_classes_gives_all_but_its_head(tmp_path):
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
    with pytest.raises(ConfigError, match=r"holds a VideoMAE; model\.name is a TimeSformer"):
        taken(tmp_path / "narrow", model__name="timesformer_tiny")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"config\.init_from: the folder .* has no config\.json"):
        taken(tmp_path / "empty")
