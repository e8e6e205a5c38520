"""Random VideoMAE models of `transformers`, and their arrays under the authors' names."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the files are PyTorch's (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "decoder_hidden_size": 18,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 3,
    "decoder_intermediate_size": 20,
    "patch_size": 8,
    "tubelet_size": 2,
    "image_size": 16,
    "num_frames": 4,
}
RENAMED = (  # transformers to authors
    (r"^videomae\.embeddings\.patch_embeddings\.projection", "{encoder}patch_embed.proj"),
    (r"^videomae\.encoder\.layer\.", "{encoder}blocks."),
    (r"^videomae\.layernorm", "encoder.norm"),
    (r"^decoder\.decoder_layers\.", "decoder.blocks."),
    (r"^classifier", "head"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"attention\.attention\.query\.bias", "attn.q_bias"),
    (r"attention\.attention\.value\.bias", "attn.v_bias"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
)


def classifier(**options):
    """A VideoMAEForVideoClassification with five classes; no parameter is zero or small."""
    return _random(transformers.VideoMAEForVideoClassification, {"num_labels": 5} | options)


def pretraining(**options):
    """A VideoMAEForPreTraining with the final norm that published ones have."""
    return _random(transformers.VideoMAEForPreTraining, {"use_mean_pooling": False} | options)


def _random(cls, options):
    torch.manual_seed(0)
    model = cls(transformers.VideoMAEConfig(**SIZES | options)).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.2)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return model


def official(model) -> dict[str, torch.Tensor]:
    """The state dict that the authors' code would save: one qkv weight, biases for q and v, their names."""
    found, state = dict(model.state_dict()), {}
    for key in [key for key in found if key.endswith("attention.query.weight")]:
        parts = [found.pop(key.replace("query", part)) for part in ("query", "key", "value")]
        found[key.replace("attention.attention.query", "attn.qkv")] = torch.cat(parts)
    encoder = "encoder." if "mask_token" in found else ""
    for key, value in found.items():
        for pattern, name in RENAMED:
            key = re.sub(pattern, name.format(encoder=encoder), key)
        state[key] = value
    return state


def with_eps(model, eps):
    """The same model with one epsilon in all its norms, as in the authors'."""
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = eps
    return model


def random_clips(frames=4, height=16, width=16, rows=2):
    """Normalised clips (b t h w c) in float32."""
    return np.random.default_rng(0).normal(size=(rows, frames, height, width, 3)).astype(np.float32)


def logits_of(model, clips) -> np.ndarray:
    """Logits computed in float64."""
    with torch.no_grad():
        return model.double()(torch.from_numpy(clips).double().permute(0, 1, 4, 2, 3)).logits.numpy()


def assert_close(ours, theirs, tolerance=2e-5):
    """Check that two arrays are equal up to rounding, relative to the largest entry."""
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance * np.abs(theirs).max())
