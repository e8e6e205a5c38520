"""Attention maps equal those of `transformers` or of equations in PyTorch; roll-outs are products of whole matrices.

The oracles' matrices have a row and a column for every token of the clip, the class token first if there is one.
"""

import dataclasses
import re
import types

import jax
import numpy as np
import pytest

from vidjax import ops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import ConfigError
from vidjax.evaluation.attention import attention_maps
from vidjax.models import build_model, layers
from vidjax.models.captioner import Captioner, CaptionerSpec
from vidjax.models.clip import CLIPClassifier, CLIPEncoder, CLIPVisionSpec
from vidjax.models.clip_text import CLIPTextSpec
from vidjax.models.gpt2 import GPT2, GPT2Spec
from vidjax.models.pooling import PooledClassifier
from vidjax.models.timesformer import TimeSformerClassifier, TimeSformerSpec
from vidjax.models.video_text import VideoTextModel, VideoTextSpec
from vidjax.models.videomae import VideoMAEClassifier, VideoMAEPretraining, VideoMAESpec
from vidjax.models.vivit import ViViTClassifier, ViViTSpec
from vidjax.models.vjepa2 import VJEPA2Classifier, VJEPA2Pretraining, VJEPA2Spec
from vidjax.weights import rules as rule_tables
from vidjax.weights.families import vivit as vivit_rules
from vidjax.weights.families.vivit_scenic import scenic_rules

torch = pytest.importorskip("torch", reason="the oracles are in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="oracles are in transformers (extra: test)")
import timesformer_peer  # noqa: E402 - needs torch and transformers
import vivit_peer  # noqa: E402 - needs torch and transformers
import vivit_torch  # noqa: E402 - needs torch
import vjepa2_peer  # noqa: E402 - needs torch and transformers
from torch_weights import classifier_params, pretraining_params  # noqa: E402 - for models of transformers

CLASSES = 5
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
VIDEOMAE = VideoMAESpec(24, 3, 4, 80, 16, 2, 2, 48, patch_size=4, num_frames=4, image_size=(12, 8), norm_eps=1e-12)
TIMESFORMER = TimeSformerSpec(24, 3, 4, 80, patch_size=4, num_frames=4, image_size=12)
VIVIT = ViViTSpec(24, 3, 4, 50, patch_size=4, num_frames=6, image_size=(8, 12), temporal_depth=2)


def model_of(module, params):
    recipe = ClipRecipe(mean=MEAN, std=STD)
    return types.SimpleNamespace(module=module, params=params, family="toy", source="here", clip_recipe=recipe)


def random_clip(spec):
    """A clip, and its pixels in PyTorch's layout (1 t c h w)."""
    clip = np.random.default_rng(0).integers(0, 256, spec.clip_shape, dtype=np.uint8)
    pixels = (clip / 255 - np.array(MEAN)) / np.array(STD)
    return clip, torch.from_numpy(pixels.transpose(0, 3, 1, 2)[None])


def cubes(spec, tokens):
    """Tokens on the grid of cubes, without the class token if there is one."""
    return tokens[..., -spec.num_tokens :].reshape(*tokens.shape[:-1], *spec.grid)


def rolled_out(matrices, start):
    """Roll-out (Abnar & Zuidema 2020, section 3) of matrices (n n) in the order in which the model applies them."""
    product = np.eye(len(start))
    for matrix in matrices:
        product = (matrix + np.eye(len(matrix))) / 2 @ product
    return start @ product


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())


def one_of(tokens):
    return np.eye(tokens)[0]


def all_of(tokens):
    return np.full(tokens, 1 / tokens)


def videomae_peer(cls, spec, **options):
    config = transformers.VideoMAEConfig(
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, decoder_hidden_size=spec.decoder_width,
        decoder_num_hidden_layers=spec.decoder_depth, decoder_num_attention_heads=spec.decoder_heads,
        decoder_intermediate_size=spec.decoder_mlp_dim, patch_size=spec.patch_size, num_frames=spec.num_frames,
        image_size=spec.frame_size, layer_norm_eps=spec.norm_eps, num_labels=CLASSES, attn_implementation="eager",
        **options,
    )  # fmt: skip
    torch.manual_seed(0)
    model = cls(config).eval().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_videomae_maps_equal_those_of_transformers(pooling):
    spec = dataclasses.replace(VIDEOMAE, pooling=pooling)
    peer = videomae_peer(transformers.VideoMAEForVideoClassification, spec, use_mean_pooling=pooling == "mean")
    clip, pixels = random_clip(spec)
    attentions = [a[0].detach().numpy() for a in peer(pixels, output_attentions=True).attentions]  # h n n
    start = all_of(spec.num_tokens) if pooling == "mean" else one_of(spec.num_tokens)

    found = attention_maps(model_of(VideoMAEClassifier(spec, CLASSES), classifier_params(peer)), clip)
    assert list(found.layers) == ["attention"]
    close(found.layers["attention"], np.stack([cubes(spec, start @ a) for a in attentions]))
    close(found.rollout, cubes(spec, rolled_out([a.mean(0) for a in attentions], start)))
    assert found.rollout.sum() == pytest.approx(1, abs=1e-5)


def test_an_autoencoders_maps_see_every_cube():
    peer = videomae_peer(transformers.VideoMAEForPreTraining, VIDEOMAE, use_mean_pooling=False)
    clip, pixels = random_clip(VIDEOMAE)
    with torch.no_grad():
        attentions = peer.videomae(pixels, output_attentions=True).attentions
    found = attention_maps(model_of(VideoMAEPretraining(VIDEOMAE), pretraining_params(peer)), clip)
    wanted = np.stack([cubes(VIDEOMAE, a[0].numpy().mean(1)) for a in attentions])
    close(found.layers["attention"], wanted)


@pytest.mark.parametrize("num_classes", [CLASSES, None])
def test_vjepa2_maps_have_rotated_queries_and_keys_as_in_transformers(num_classes):
    spec = VJEPA2Spec(
        36, 3, 3, 144, 24, 2, 2, 96, pooler_depth=1, pooler_heads=3, patch_size=4, num_frames=4, image_size=12
    )
    cls = transformers.VJEPA2ForVideoClassification if num_classes else transformers.VJEPA2Model
    peer = vjepa2_peer.peer(cls, spec, **({"num_labels": num_classes} if num_classes else {}))
    module = VJEPA2Classifier(spec, CLASSES) if num_classes else VJEPA2Pretraining(spec)
    clip, pixels = random_clip(spec)
    with torch.no_grad():
        model = peer.vjepa2 if num_classes else peer
        attentions = [a[0].numpy() for a in model(pixels, skip_predictor=True, output_attentions=True).attentions]
    found = attention_maps(model_of(module, vjepa2_peer.as_tree(peer, module, num_classes)), clip)
    start = all_of(spec.num_tokens)
    assert list(found.layers) == ["attention"]
    close(found.layers["attention"], np.stack([cubes(spec, start @ a) for a in attentions]))
    close(found.rollout, cubes(spec, rolled_out([a.mean(0) for a in attentions], start)))


def timesformer(attention_type):
    """Our maps, and the probabilities of all layers in `transformers`: over time (s h t t), and in its own shape."""
    spec = dataclasses.replace(TIMESFORMER, attention_type=attention_type)
    peer, in_time = timesformer_peer.peer(spec, CLASSES), []
    if attention_type == "divided":
        for layer in peer.timesformer.encoder.layer:
            layer.temporal_attention.attention.attn_drop.register_forward_hook(lambda *call: in_time.append(call[2]))
    clip, pixels = random_clip(spec)
    with torch.no_grad():
        others = peer(pixels, output_attentions=True).attentions
    params = timesformer_peer.read_transformers(peer, spec, CLASSES, lambda parameter: parameter)
    found = attention_maps(model_of(TimeSformerClassifier(spec, CLASSES), params), clip)
    return spec, found, [a.numpy() for a in in_time], [a.numpy() for a in others]


def test_timesformer_maps_equal_those_of_transformers_over_time_and_space():
    spec, found, in_time, in_space = timesformer("divided")
    t, s = spec.grid[0], 9
    space = np.stack([a[:, :, 0, 1:].swapaxes(0, 1) / t for a in in_space])  # (t h n n) to l h t s
    close(found.layers["space"], space.reshape(3, 4, *spec.grid))
    time = np.stack([a.sum(2).transpose(1, 2, 0) / (t * s) for a in in_time])  # (s h t t) to l h t s
    close(found.layers["time"], time.reshape(3, 4, *spec.grid))

    matrices = []
    for time, space in zip(in_time, in_space, strict=True):
        over_time, in_frames = np.zeros((2, 1 + t * s, 1 + t * s))
        over_time[0, 0] = 1  # the class token takes no part in it
        for place in range(s):
            over_time[1 + place :: s, 1 + place :: s] = time[place].mean(0)
        for frame in range(t):
            mean, own = space[frame].mean(0), slice(1 + frame * s, 1 + (frame + 1) * s)
            in_frames[own, own], in_frames[own, 0] = mean[1:, 1:], mean[1:, 0]
            in_frames[0, own] = mean[0, 1:] / t
            in_frames[0, 0] += mean[0, 0] / t
        matrices += [over_time, in_frames]
    close(found.rollout, cubes(spec, rolled_out(matrices, one_of(1 + t * s))))


def test_timesformer_maps_of_joint_attention_equal_those_of_transformers():
    spec, found, _, attentions = timesformer("joint")
    start, t = one_of(1 + spec.num_tokens), spec.grid[0]
    # In transformers the frames of a place follow each other.
    order = np.r_[0, 1 + np.arange(spec.num_tokens).reshape(-1, t).T.ravel()]
    attentions = [a[:, :, order][:, :, :, order] for a in attentions]
    close(found.layers["attention"], np.stack([cubes(spec, a[0, :, 0]) for a in attentions]))
    close(found.rollout, cubes(spec, rolled_out([a[0].mean(0) for a in attentions], start)))


def test_timesformer_maps_within_frames_equal_those_of_transformers():
    spec, found, _, attentions = timesformer("space_only")
    t, h, w = spec.grid
    close(found.layers["space"], np.stack([a[:, :, 0, 1:].swapaxes(0, 1).reshape(4, t, h, w) / t for a in attentions]))
    of_frames = [rolled_out([a[frame].mean(0) for a in attentions], one_of(1 + h * w)) for frame in range(t)]
    close(found.rollout, np.stack(of_frames)[:, 1:].reshape(t, h, w) / t)


def vivit_params(table, spec, arrays):
    zeros = jax.ShapeDtypeStruct((1, *spec.clip_shape), np.float32)
    shapes = jax.eval_shape(ViViTClassifier(spec, CLASSES).init, jax.random.key(0), zeros)["params"]
    return rule_tables.read(table, arrays, lambda: shapes)


def test_vivit_maps_equal_those_of_transformers():
    peer = vivit_peer.peer(VIVIT, CLASSES, attn_implementation="eager")
    arrays = vivit_peer.by_stored_key(peer, lambda parameter: parameter)
    clip, pixels = random_clip(VIVIT)
    with torch.no_grad():
        attentions = [a[0].numpy() for a in peer(pixels, output_attentions=True).attentions]
    params = vivit_params(vivit_rules.rules(VIVIT, CLASSES), VIVIT, arrays)
    found = attention_maps(model_of(ViViTClassifier(VIVIT, CLASSES), params), clip)
    close(found.layers["attention"], np.stack([cubes(VIVIT, a[:, 0]) for a in attentions]))
    close(found.rollout, cubes(VIVIT, rolled_out([a.mean(0) for a in attentions], one_of(1 + VIVIT.num_tokens))))


@pytest.mark.parametrize("factorization", ["joint", "encoder", "self_attention", "dot_product"])
def test_vivit_maps_equal_its_equations(factorization, monkeypatch):
    spec = dataclasses.replace(VIVIT, factorization=factorization)
    arrays = vivit_torch.flat(vivit_torch.scenic_state(spec, CLASSES))
    params = vivit_params(scenic_rules(spec, CLASSES), spec, arrays)
    clip, pixels = random_clip(spec)
    softmaxes, softmax = [], torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, dim: softmaxes.append(softmax(x, dim)) or softmaxes[-1])
    state = {key: torch.from_numpy(value).double() for key, value in arrays.items()}
    vivit_torch.classify(state, pixels.permute(0, 1, 3, 4, 2), factorization)
    shares = [a[0].numpy() for a in softmaxes]  # h n n

    found = attention_maps(model_of(ViViTClassifier(spec, CLASSES), params), clip)
    t, h, w = spec.grid
    if factorization == "joint":
        start = one_of(1 + t * h * w)
        close(found.layers["attention"], np.stack([cubes(spec, a[:, 0]) for a in shares]))
        rollout = cubes(spec, rolled_out([a.mean(0) for a in shares], start))
    elif factorization == "encoder":
        frames, times = [shares[3 * i : 3 * i + 3] for i in range(t)], shares[3 * t :]
        space = np.stack([[a[:, 0, 1:].reshape(4, h, w) / t for a in frame] for frame in frames], axis=2)
        close(found.layers["space"], space)
        in_time = np.stack([np.tile(a[:, 0, 1:, None, None], (1, 1, h, w)) for a in times])
        close(found.layers["time"], in_time)
        of_frames = rolled_out([a.mean(0) for a in times], one_of(1 + t))[1:]
        in_frames = np.stack([rolled_out([a.mean(0) for a in frame], one_of(1 + h * w)) for frame in frames])
        rollout = of_frames[:, None, None] * in_frames[:, 1:].reshape(t, h, w)
    else:
        if factorization == "self_attention":
            time, space = shares[::2], shares[1::2]
            matrices = [a.mean(0) for a in shares]
        else:
            time, space = [a[:2] for a in shares], [a[2:] for a in shares]
            matrices = [a.mean(0) for a in shares]
        close(found.layers["time"], np.stack([cubes(spec, a.mean(1)) for a in time]))
        close(found.layers["space"], np.stack([cubes(spec, a.mean(1)) for a in space]))
        rollout = cubes(spec, rolled_out(matrices, all_of(t * h * w)))
    close(found.rollout, rollout)


def test_the_last_map_of_a_clip_tower_equals_the_models_own_attention():
    spec = CLIPVisionSpec(24, 2, 4, 50, 0, patch_size=4, num_frames=3, image_size=(8, 12))
    module = CLIPClassifier(spec, CLASSES)
    params = module.init(jax.random.key(0), np.zeros((1, *spec.clip_shape), np.float32))["params"]
    params = jax.tree.map(lambda x: np.random.default_rng(1).normal(0, 0.3, x.shape).astype(np.float32), params)
    clip, pixels = random_clip(spec)
    patches = ops.patchify(np.float32(pixels.permute(0, 1, 3, 4, 2)), 1, 4)
    wanted = CLIPEncoder(spec, (1,)).apply({"params": params["encoder"]}, patches, method="hidden")["attention"]
    found = attention_maps(model_of(module, params), clip)
    close(found.layers["space"][-1].mean(0), wanted[0].reshape(spec.grid) / 3)


def test_a_captioner_a_deeper_head_and_a_model_of_texts_show_the_maps_of_their_backbones():
    clip, _ = random_clip(VIDEOMAE)
    backbone = VideoMAEClassifier(VIDEOMAE, 0)
    zeros = np.zeros((1, *VIDEOMAE.clip_shape), np.float32)
    params = backbone.init(jax.random.key(0), zeros)["params"]
    wanted = attention_maps(model_of(backbone, params), clip).rollout
    deeper = PooledClassifier(backbone, 3, "weighted_tokens", (7,))
    others = deeper.init(jax.random.key(1), zeros)["params"]
    np.testing.assert_array_equal(attention_maps(model_of(deeper, others | params), clip).rollout, wanted)
    text = GPT2(
        GPT2Spec(width=24, depth=1, num_heads=2, mlp_dim=50, vocab_size=9, num_positions=8, cross_attention=True)
    )
    captioner = model_of(Captioner(backbone, text, CaptionerSpec()), {"backbone": params, "decoder": {}})
    np.testing.assert_array_equal(attention_maps(captioner, clip).rollout, wanted)
    words = CLIPTextSpec(width=16, depth=1, num_heads=2, mlp_dim=28, vocab_size=50, context=9)
    searched = VideoTextModel(VideoTextSpec(family="videomae", video=VIDEOMAE, text=words, projection=10))
    towers = model_of(searched, {"video": params, "text": {}})
    np.testing.assert_array_equal(attention_maps(towers, clip).rollout, wanted)


@pytest.mark.parametrize("name", ["videomae_tiny", "timesformer_tiny", "vivit_tiny", "videomamba_tiny", "clip_tiny"])
def test_a_call_that_captures_nothing_is_traced_without_capturing(name, monkeypatch):
    module = build_model(name, num_classes=3)
    clips = jax.ShapeDtypeStruct((1, *module.spec.clip_shape), np.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), clips)["params"]

    def traced():
        text = str(jax.make_jaxpr(lambda params, clips: module.apply({"params": params}, clips))(params, clips))
        return re.sub(" at 0x[0-9a-f]+", "", text)

    wanted, scan, stacks = traced(), layers.nn.scan, []

    def plain(block, variable_axes, **options):
        stacks.append(block)
        return scan(block, variable_axes={"params": 0}, **options)

    monkeypatch.setattr(layers.nn, "scan", plain)
    assert traced() == wanted
    assert stacks


def test_models_without_attention_and_clips_of_another_size_are_refused():
    module = VideoMAEClassifier(VIDEOMAE, 0)
    clip, _ = random_clip(VIDEOMAE)
    params = module.init(jax.random.key(0), np.zeros((1, *VIDEOMAE.clip_shape), np.float32))["params"]
    with pytest.raises(ConfigError, match="12"):
        attention_maps(model_of(module, params), clip[:, :4])
    text = GPT2(GPT2Spec(width=24, depth=1, num_heads=2, mlp_dim=50, vocab_size=9, num_positions=8))
    with pytest.raises(ConfigError, match="here holds a toy, whose attention cannot be shown"):
        attention_maps(model_of(text, {}), clip)
