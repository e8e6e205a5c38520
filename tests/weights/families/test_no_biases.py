"""VideoMAE, TimeSformer and ViViT of `transformers` without biases of queries and values have the same outputs."""

import jax
import numpy as np
import pytest

import vidjax
from vidjax import ops
from vidjax.errors import WeightsError

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
safetensors_torch = pytest.importorskip("safetensors.torch", reason="it writes a damaged file")
import peers  # noqa: E402 - needs torch and transformers

SIZES = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "image_size": 16,
    "num_frames": 4, "num_labels": 5,
}  # fmt: skip


def vivit(**options):
    """A VivitForVideoClassification with no parameter zero or small."""
    config = transformers.VivitConfig(**SIZES, tubelet_size=[2, 8, 8], **options)
    return shaken(transformers.VivitForVideoClassification, config)


def timesformer(attention_type="divided_space_time", **options):
    """A TimesformerForVideoClassification with no parameter zero or small."""
    config = transformers.TimesformerConfig(**SIZES, patch_size=8, attention_type=attention_type, **options)
    return shaken(transformers.TimesformerForVideoClassification, config)


def shaken(model_class, config):
    torch.manual_seed(0)
    model = model_class(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


MODELS = {
    "videomae": lambda **options: peers.classifier(**options),
    "timesformer": timesformer,
    "timesformer, joint": lambda **options: timesformer("joint_space_time", **options),
    "vivit": vivit,
}


def biases(model):
    """The biases of queries, keys and values."""
    ends = (
        "q_bias",
        "v_bias",
        "query.bias",
        "key.bias",
        "value.bias",
        "q_proj.bias",
        "k_proj.bias",
        "v_proj.bias",
        "qkv.bias",
    )
    return [key for key in model.state_dict() if key.endswith(ends)]


@pytest.mark.parametrize("family", MODELS)
def test_a_classifier_without_biases_round_trips_with_the_same_logits(family, tmp_path):
    peer = MODELS[family](qkv_bias=False)
    assert biases(MODELS[family]())
    assert not biases(peer)
    peer.save_pretrained(tmp_path / "theirs")
    model = vidjax.from_pretrained(tmp_path / "theirs")
    assert any("qkv_bias=False" in note for note in model.notes)
    clips = peers.random_clips()
    ours = jax.jit(model.module.apply)({"params": model.params}, clips)["logits"]
    peers.assert_close(ours, peers.logits_of(peer, clips))
    vidjax.weights.export(model, tmp_path / "ours")
    again = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path / "ours").eval()
    peers.assert_close(peers.logits_of(again, clips), peers.logits_of(peer, clips))


def test_a_pretraining_model_without_biases_reconstructs_the_same(tmp_path):
    peer = peers.pretraining(qkv_bias=False)
    peer.save_pretrained(tmp_path)
    model = vidjax.from_pretrained(tmp_path)
    clips, (visible, masked) = peers.random_clips(), ops.tube_mask(jax.random.key(0), 2, model.spec.grid, 0.5)
    ours = model.module.apply({"params": model.params}, clips, visible, masked)["reconstruction"]
    hidden = np.zeros((2, model.spec.num_tokens), bool)
    np.put_along_axis(hidden, np.asarray(masked), values=True, axis=1)
    with torch.no_grad():
        pixels = torch.from_numpy(clips).double().permute(0, 1, 4, 2, 3)
        theirs = peer.double()(pixels, bool_masked_pos=torch.from_numpy(hidden)).logits.numpy()

    peers.assert_close(ours, theirs)


@pytest.mark.parametrize("family", MODELS)
def test_missing_biases_that_config_json_promises_are_refused(family, tmp_path):
    peer = MODELS[family]()
    peer.save_pretrained(tmp_path)
    state = safetensors_torch.load_file(tmp_path / "model.safetensors")
    kept = {key: array for key, array in state.items() if not ("attention.attention" in key and key.endswith("bias"))}
    assert len(kept) == len(state) - len(biases(peer))
    safetensors_torch.save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"keys are missing: .*attention"):
        vidjax.from_pretrained(tmp_path)
