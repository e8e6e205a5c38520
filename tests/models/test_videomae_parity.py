"""VideoMAE against the `transformers` implementation with the same random weights: outputs, loss, gradients.

PyTorch computes in float64, so that only our rounding counts; each layer norm has PyTorch's epsilon.
"""

import dataclasses

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
EPS = {"fc_norm_eps": 1e-5, "decoder_norm_eps": 1e-5}  # PyTorch's default, which transformers uses for these two
SPECS = {
    "tubelet 2, square": VideoMAESpec(
        24, 3, 4, 80, 16, 2, 2, 48, patch_size=4, num_frames=4, image_size=12, norm_eps=1e-12, **EPS
    ),
    "tubelet 1, wide": VideoMAESpec(
        15, 1, 3, 31, 10, 1, 5, 7, patch_size=6, tubelet_size=1, num_frames=3, image_size=(12, 30), **EPS
    ),
    "tubelet 3, one head, high": VideoMAESpec(
        8, 2, 1, 32, 12, 3, 4, 20, patch_size=8, tubelet_size=3, num_frames=6, image_size=(24, 16), norm_eps=1e-3, **EPS
    ),
    "deep": VideoMAESpec(
        42, 7, 3, 50, 18, 5, 6, 30, patch_size=4, num_frames=6, image_size=(8, 12), norm_eps=1e-12, **EPS
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
OUTPUTS, GRADIENTS = 2e-5, 1e-4  # largest difference allowed, relative to the largest entry


def peer(cls, spec, **options):
    """The transformers model of a spec, with all parameters random and not small."""
    fields = {theirs: getattr(spec, ours) for theirs, ours in PEER_CONFIGS.items()}
    config = transformers.VideoMAEConfig(**fields, image_size=spec.frame_size, **options)
    torch.manual_seed(0)
    model = cls(config).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.2)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return model.double()


def random_batch(spec, rows=2):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (rows, *spec.clip_shape), dtype=np.uint8)
    clips = (video / 255 - np.array(MEAN)) / np.array(STD)
    pixels = torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 1, 4, 2, 3)))
    return {"video": video, "label": rng.integers(0, 5, rows), "valid": np.ones(rows, bool)}, clips, pixels


@pytest.mark.parametrize(
    ("name", "normalize_target"), [*((name, True) for name in SPECS), ("tubelet 1, wide", False), ("deep", False)]
)
def test_pretraining_loss_prediction_and_gradients_match_transformers(name, normalize_target):
    spec = SPECS[name]
    model = peer(transformers.VideoMAEForPreTraining, spec, norm_pix_loss=normalize_target, use_mean_pooling=False)
    batch, clips, pixels = random_batch(spec)
    module, rngs = VideoMAEPretraining(spec), {"mask": jax.random.key(3)}
    objective = MaskedAutoencoding(module, "tube", 0.6, normalize_target, MEAN, STD)
    visible_idx, masked_idx = objective.draw_masks(rngs, batch)
    hidden = np.zeros((2, spec.num_tokens), bool)
    np.put_along_axis(hidden, np.asarray(masked_idx), True, axis=1)
    theirs = model(pixels, torch.from_numpy(hidden))
    theirs.loss.backward()

    params = pretraining_params(model)

    def loss(params):
        prediction = module.apply({"params": params}, clips, visible_idx, masked_idx)["reconstruction"]
        return objective.loss(params, {}, batch, rngs, False)[0], prediction

    (ours, prediction), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert_close(prediction, theirs.logits.detach().numpy(), OUTPUTS, "reconstruction")
    assert_close(ours, theirs.loss.item(), OUTPUTS, "loss")
    assert_trees_close(grads, pretraining_params(gradients_as_weights(model)))


@pytest.mark.parametrize(
    ("name", "pooling"), [*((name, "mean") for name in SPECS), ("tubelet 2, square", "first"), ("deep", "first")]
)
def test_classifier_logits_loss_and_gradients_match_transformers(name, pooling):
    spec = dataclasses.replace(SPECS[name], pooling=pooling)
    model = peer(transformers.VideoMAEForVideoClassification, spec, num_labels=5, use_mean_pooling=pooling == "mean")
    batch, _, pixels = random_batch(spec)
    logits = model(pixels).logits
    theirs = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch["label"]))
    theirs.backward()

    params = classifier_params(model)
    objective = Classification(VideoMAEClassifier(spec, 5), MEAN, STD)

    def loss(params):
        return objective.loss(params, {}, batch, {}, False)[0], objective.scores(params, batch["video"])

    (ours, scores), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert_close(scores, logits.detach().numpy(), OUTPUTS, "logits")
    assert_close(ours, theirs.item(), OUTPUTS, "loss")
    assert_trees_close(grads, classifier_params(gradients_as_weights(model)))


@pytest.mark.parametrize("ratio", [0.5, 0.75])
def test_dual_masking_matches_videomae_v2(ratio):
    """arXiv:2303.16727, section 3.2, from the parts of the `transformers` model: it has no mask for the decoder."""
    spec = dataclasses.replace(SPECS["deep"], num_frames=8, image_size=(8, 16))
    model = peer(transformers.VideoMAEForPreTraining, spec, use_mean_pooling=False)
    batch, _, pixels = random_batch(spec)
    rngs = {"mask": jax.random.key(3)}
    objective = MaskedAutoencoding(
        VideoMAEPretraining(spec), "tube", 0.6, True, MEAN, STD, decoder_mask="running_cell", decoder_mask_ratio=ratio
    )
    _, masked_idx = objective.draw_masks(rngs, batch)
    kept_idx, _ = objective.draw_predicted(rngs, batch, masked_idx)
    hidden, kept = torch.zeros(2, 2, spec.num_tokens, dtype=torch.bool)
    for mask, idx in ((hidden, masked_idx), (kept, kept_idx)):
        mask.scatter_(1, torch.from_numpy(np.array(idx, np.int64)), True)

    def at(values, mask):
        return values.expand(2, -1, -1)[mask].reshape(2, -1, values.shape[-1])

    positions = model.position_embeddings.double()
    visible = model.encoder_to_decoder(model.videomae(pixels, hidden).last_hidden_state) + at(positions, ~hidden)
    tokens = torch.cat([visible, model.mask_token + at(positions, kept)], dim=1)
    prediction = model.decoder(tokens, int(kept[0].sum())).logits
    cubes = torch.from_numpy(np.array(ops.patchify(batch["video"], spec.tubelet_size, spec.patch_size)))
    cubes = at(cubes.double() / 255, kept).unflatten(2, (-1, 3))
    cubes = (cubes - cubes.mean(2, keepdim=True)) / (cubes.std(2, keepdim=True) + 1e-6)
    counted = at(hidden[:, :, None], kept)
    theirs = ((prediction - cubes.flatten(2)) ** 2 * counted).sum() / (counted.sum() * spec.patch_dim)
    theirs.backward()

    params = pretraining_params(model)
    ours, grads = jax.jit(jax.value_and_grad(lambda params: objective.loss(params, {}, batch, rngs, False)[0]))(params)
    assert_close(ours, theirs.item(), OUTPUTS, "loss")
    assert_trees_close(grads, pretraining_params(gradients_as_weights(model)))


def test_norms_use_their_own_epsilons():
    """Against peers with larger epsilons, since 1e-5 and 1e-6 differ by less than rounding here."""
    spec = dataclasses.replace(SPECS["tubelet 3, one head, high"], fc_norm_eps=0.1, decoder_norm_eps=0.05)
    _, clips, pixels = random_batch(spec)
    model = peer(transformers.VideoMAEForVideoClassification, spec, num_labels=5)
    model.fc_norm.eps = 0.1
    logits = jax.jit(VideoMAEClassifier(spec, 5).apply)({"params": classifier_params(model)}, clips)["logits"]
    assert_close(logits, model(pixels).logits.detach().numpy(), OUTPUTS, "logits")

    model = peer(transformers.VideoMAEForPreTraining, spec, use_mean_pooling=False)
    model.decoder.norm.eps = 0.05
    visible_idx, masked_idx = np.split(np.tile(np.arange(spec.num_tokens), (2, 1)), [4], axis=1)
    hidden = torch.from_numpy(np.tile(np.arange(spec.num_tokens) >= 4, (2, 1)))
    variables = {"params": pretraining_params(model)}
    found = jax.jit(VideoMAEPretraining(spec).apply)(variables, clips, visible_idx, masked_idx)["reconstruction"]
    assert_close(found, model(pixels, hidden).logits.detach().numpy(), OUTPUTS, "reconstruction")


def gradients_as_weights(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
    return model


def assert_trees_close(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert_close(a, b, GRADIENTS, jax.tree_util.keystr(path))


def assert_close(ours, theirs, tolerance, name):
    scale = np.abs(theirs).max()
    assert scale > 0, name
    difference = np.abs(np.asarray(ours, np.float64) - theirs).max() / scale
    assert difference <= tolerance, f"{name}: {difference:.1e} of {scale:.1e}"
