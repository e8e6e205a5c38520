"""CLIP's vision tower against `transformers`: tokens, projection, attention of the class token, gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import ops
from vidjax.models.clip import CLIPClassifier, CLIPEncoder, CLIPVisionSpec
from vidjax.weights import rules as rule_tables
from vidjax.weights.families.clip import TRANSFORMERS, rules

torch = pytest.importorskip("torch", reason="the oracle is PyTorch's CLIP (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")

SPEC = CLIPVisionSpec(24, 3, 4, 40, 10, patch_size=4, num_frames=3, image_size=12)
SPECS = {
    "OpenAI's": SPEC,
    "exact GELU, other epsilon": dataclasses.replace(SPEC, activation="gelu", norm_eps=1e-2, depth=2),
    "one frame": dataclasses.replace(SPEC, num_frames=1),
}


def peer(spec):
    """`transformers`' tower with random parameters, in float64 so that only our rounding counts."""
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, projection_dim=spec.projection, patch_size=spec.patch_size,
        image_size=spec.image_size, hidden_act=spec.activation, layer_norm_eps=spec.norm_eps,
        attn_implementation="eager",
    )  # fmt: skip
    model = transformers.CLIPVisionModelWithProjection(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def as_tree(model, spec, gradients=False):
    tensors = dict(model.named_parameters())
    state = {key: (t.grad if gradients else t).detach().numpy() for key, t in tensors.items()}
    clips = jax.ShapeDtypeStruct((1, *spec.clip_shape), jnp.float32)
    shapes = jax.eval_shape(CLIPClassifier(spec, 0).init, jax.random.key(0), clips)["params"]
    return rule_tables.read(rules(spec, TRANSFORMERS, "vision_model."), state, lambda: shapes)


def random_clips(spec, rows=2):
    return np.random.default_rng(1).normal(size=(rows, *spec.clip_shape)).astype(np.float32)


def frames_of(clips):
    """Each frame as a separate image, as `transformers` takes them."""
    return torch.from_numpy(clips.reshape(-1, *clips.shape[2:]).transpose(0, 3, 1, 2).astype(np.float64))


def close(ours, theirs, limit=2e-5, name=""):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max(), err_msg=name)


@pytest.mark.parametrize("name", SPECS)
def test_outputs_match_transformers_on_each_frame(name):
    spec, clips = SPECS[name], random_clips(SPECS[name])
    model, b, t = peer(spec), 2, spec.num_frames
    wanted = model(frames_of(clips))
    params = as_tree(model, spec)
    out = jax.jit(CLIPClassifier(spec, 0).apply)({"params": params}, clips)
    tokens = model.vision_model.post_layernorm(wanted.last_hidden_state[:, 1:])
    close(out["tokens"], tokens.reshape(b, -1, spec.width))
    pooled = model.vision_model.post_layernorm(wanted.last_hidden_state[:, 0]).reshape(b, t, -1).mean(1)
    close(out["cls"], pooled)
    close(out["pooled"], pooled)
    close(out["projected"], wanted.image_embeds.reshape(b, t, -1).mean(1))


def test_gradients_match_transformers():
    clips, model = random_clips(SPEC), peer(SPEC)
    weights = np.random.default_rng(2).normal(size=(2 * SPEC.num_frames, SPEC.projection))
    (model(frames_of(clips)).image_embeds * torch.tensor(weights)).sum().backward()
    of_frame = weights.reshape(2, SPEC.num_frames, -1)

    def loss(params):
        # The mean over frames would hide differences between frames, so clips have one frame.
        single = CLIPClassifier(dataclasses.replace(SPEC, num_frames=1), 0)
        out = single.apply({"params": params}, clips.reshape(-1, 1, *clips.shape[2:]))["projected"]
        return jnp.sum(out.reshape(of_frame.shape) * of_frame)

    found = jax.jit(jax.grad(loss))(as_tree(model, SPEC))
    wanted = as_tree(model, SPEC, gradients=True)
    qkv = wanted["encoder"]["blocks"]["attn"]["qkv"]
    # A bias shared by all keys cannot change the softmax: its gradient is rounding, compared at the queries' scale.
    qkv["k_bias"] = np.where(np.abs(qkv["k_bias"]) < 1e-9, 0, qkv["k_bias"])
    for (path, ours), theirs in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(wanted), strict=True):
        name = jax.tree_util.keystr(path)
        scale = np.abs(qkv["q_bias"] if "k_bias" in name else theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * scale, err_msg=name)


@pytest.mark.parametrize("norm", [False, True])
def test_tapped_layers_and_the_class_tokens_attention_match_transformers(norm):
    clips, model, taps = random_clips(SPEC), peer(SPEC), (0, 2)
    theirs = model.vision_model(frames_of(clips), output_hidden_states=True, output_attentions=True)
    params, b, t = as_tree(model, SPEC), 2, SPEC.num_frames
    patches = ops.patchify(clips, SPEC.tubelet_size, SPEC.patch_size)
    encoder = CLIPEncoder(SPEC, taps)
    out = jax.jit(lambda p: encoder.apply({"params": p}, patches, norm=norm, method="hidden"))(params["encoder"])
    for place, layer in enumerate(taps):
        hidden = theirs.hidden_states[layer + 1]  # the first is the input of the first layer
        hidden = model.vision_model.post_layernorm(hidden) if norm else hidden
        projected = model.visual_projection(hidden).reshape(b, t, -1, SPEC.projection)
        close(out["tokens"][place], projected[:, :, 1:].reshape(b, -1, SPEC.projection))
        close(out["cls"][place], projected[:, :, 0].mean(1))
    # The mean over heads of the first row, as nn.MultiheadAttention returns it, without the class token itself.
    close(out["attention"], theirs.attentions[-1].mean(1)[:, 0, 1:].reshape(b, t, -1))


def test_frames_do_not_see_each_other():
    clips, params = random_clips(SPEC, rows=1), as_tree(peer(SPEC), SPEC)
    apply = jax.jit(CLIPClassifier(SPEC, 0).apply)
    other = clips.copy()
    other[:, 1] = 0
    before, after = (np.asarray(apply({"params": params}, of)["tokens"]).reshape(3, 9, -1) for of in (clips, other))
    np.testing.assert_array_equal(before[[0, 2]], after[[0, 2]])
    assert np.abs(before[1] - after[1]).max() > 0.1


def test_the_cost_counts_one_projection_per_clip():
    without = dataclasses.replace(SPEC, projection=0)
    assert SPEC.classifier_macs(0) - without.classifier_macs(0) == SPEC.width * SPEC.projection
