"""VideoMAE against the `transformers` implementation with the same random weights: outputs, loss, gradients."""

import jax
import numpy as np
import pytest
from torch_weights import classifier_params, pretraining_params

from vidjax import ops
from vidjax.models.videomae import VideoMAEClassifier, VideoMAEPretraining, VideoMAESpec
from vidjax.objectives import Classification, MaskedAutoencoding

torch = pytest.importorskip("torch", reason="the oracle is PyTorch's VideoMAE (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPECS = {
    "tubelet 2, square": VideoMAESpec(24, 3, 4, 80, 16, 2, 2, 48, patch_size=4, num_frames=4, image_size=12),
    "tubelet 1, wide": VideoMAESpec(
        15, 1, 3, 31, 10, 1, 5, 7, patch_size=6, tubelet_size=1, num_frames=3, image_size=(12, 30)
    ),
    "tubelet 3, one head": VideoMAESpec(
        8, 2, 1, 32, 12, 3, 4, 20, patch_size=8, tubelet_size=3, num_frames=6, image_size=(24, 16)
    ),
}
PEER_CONFIGS = {
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "intermediate_size": "mlp_dim",
    "decoder_hidden_size": "decoder_width",
    "decoder_num_hidden_layers": "decoder_depth",
    "decoder_num_attention_heads": "decoder_heads",
    "decoder_intermediate_size": "decoder_mlp_dim",
    "patch_size": "patch_size",
    "tubelet_size": "tubelet_size",
    "num_frames": "num_frames",
    "layer_norm_eps": "norm_eps",
}


def peer(cls, spec, **options):
    """The transformers model of a spec, every parameter random, all layer norms with the spec's epsilon."""
    fields = {theirs: getattr(spec, ours) for theirs, ours in PEER_CONFIGS.items()}
    config = transformers.VideoMAEConfig(**fields, image_size=spec.frame_size, **options)
    torch.manual_seed(0)
    model = cls(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = spec.norm_eps
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def random_batch(spec, rows=2):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (rows, *spec.clip_shape), dtype=np.uint8)
    clips = (video.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return {"video": video, "label": rng.integers(0, 5, rows), "valid": np.ones(rows, bool)}, clips


def as_torch(clips):
    return torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 1, 4, 2, 3)))


@pytest.mark.parametrize(("name", "normalize_target"), [*((name, True) for name in SPECS), ("tubelet 1, wide", False)])
def test_pretraining_loss_prediction_and_gradients_are_those_of_transformers(name, normalize_target):
    spec = SPECS[name]
    model = peer(transformers.VideoMAEForPreTraining, spec, norm_pix_loss=normalize_target, use_mean_pooling=False)
    batch, clips = random_batch(spec)
    mask_key = jax.random.key(3)
    visible_idx, masked_idx = ops.tube_mask(mask_key, 2, spec.grid, 0.6)
    hidden = np.zeros((2, spec.num_tokens), bool)
    np.put_along_axis(hidden, np.asarray(masked_idx), True, axis=1)
    theirs = model(as_torch(clips), torch.from_numpy(hidden))
    theirs.loss.backward()

    params = pretraining_params(model)
    module = VideoMAEPretraining(spec)
    objective = MaskedAutoencoding(module, "tube", 0.6, normalize_target, MEAN, STD)

    def loss(params):
        prediction = module.apply({"params": params}, clips, visible_idx, masked_idx)["reconstruction"]
        return objective.loss(params, {}, batch, {"mask": mask_key}, False)[0], prediction

    (ours, prediction), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    np.testing.assert_allclose(prediction, theirs.logits.detach().numpy(), atol=1e-4, rtol=1e-4)
    assert float(ours) == pytest.approx(theirs.loss.item(), rel=1e-5)
    compare_trees(grads, pretraining_params(gradients_as_weights(model)))


@pytest.mark.parametrize("name", ["tubelet 1, wide", "tubelet 3, one head"])
def test_classifier_logits_loss_and_gradients_are_those_of_transformers(name):
    spec = SPECS[name]
    model = peer(transformers.VideoMAEForVideoClassification, spec, num_labels=5)
    batch, clips = random_batch(spec)
    logits = model(as_torch(clips)).logits
    theirs = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch["label"]))
    theirs.backward()

    params = classifier_params(model)
    objective = Classification(VideoMAEClassifier(spec, 5), MEAN, STD)

    def loss(params):
        return objective.loss(params, {}, batch, {}, False)[0], objective.scores(params, batch["video"])

    (ours, scores), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    np.testing.assert_allclose(scores, logits.detach().numpy(), atol=1e-5, rtol=1e-4)
    assert float(ours) == pytest.approx(theirs.item(), rel=1e-5)
    compare_trees(grads, classifier_params(gradients_as_weights(model)))


def gradients_as_weights(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
    return model


def compare_trees(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5 * max(1.0, np.abs(b).max()), err_msg=name)
