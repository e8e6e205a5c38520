"""Two towers against `transformers`' CLIPModel: embeddings, the scale, gradients; and any backbone as a video tower."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.errors import ConfigError
from vidjax.models.clip import CLIPVisionSpec
from vidjax.models.clip_text import CLIP_TEXT_SPECS, CLIPTextSpec
from vidjax.models.video_text import VideoTextModel, VideoTextSpec, build_video_text
from vidjax.models.videoprism import VideoPrismSpec
from vidjax.models.videoprism_text import VIDEOPRISM_TEXT_SPECS, VideoPrismTextSpec
from vidjax.weights import rules as rule_tables
from vidjax.weights.checkpoint_layouts import two_tower_inputs
from vidjax.weights.families.clip import whole_rules

VIDEO = CLIPVisionSpec(24, 2, 4, 40, 0, patch_size=4, num_frames=1, image_size=12)
TEXT = CLIPTextSpec(width=16, depth=3, num_heads=2, mlp_dim=28, vocab_size=50, context=9, end_token=40)
PRISM = VideoPrismSpec(24, 1, 4, 40, 1, patch_size=4, num_frames=1, image_size=12)
PRISM_TEXT = VideoPrismTextSpec(width=24, depth=1, num_heads=2, mlp_dim=8)
SPEC = VideoTextSpec(family="clip", video=VIDEO, text=TEXT, projection=10)


@pytest.fixture(scope="module")
def peer():
    """`transformers`' model with random parameters, in float64 so that only our rounding counts."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch's CLIP (extra: test)")
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    torch.manual_seed(0)
    text = {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 28, "vocab_size": 50,
        "max_position_embeddings": 9, "bos_token_id": 1, "eos_token_id": 40,
    }  # fmt: skip
    vision = {
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "patch_size": 4,
        "image_size": 12,
    }  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=10)
    config._attn_implementation = "eager"
    model = transformers.CLIPModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def as_tree(model, gradients=False):
    state = {key: (t.grad if gradients else t).detach().numpy() for key, t in model.named_parameters()}
    shapes = jax.eval_shape(VideoTextModel(SPEC).init, jax.random.key(0), *two_tower_inputs(SPEC))["params"]
    return rule_tables.read(whole_rules(SPEC), state, lambda: shapes)


def inputs():
    rng = np.random.default_rng(1)
    clips = rng.normal(size=(3, *VIDEO.clip_shape)).astype(np.float32)
    tokens = rng.integers(0, 40, (4, 9)).astype(np.int32)
    for row, end in zip(tokens, (3, 8, 5, 6), strict=True):
        row[end] = 40
    tokens[0, 6] = 40  # the first end token counts, and what follows it does not
    return clips, tokens


def theirs(model, clips, tokens):
    import torch

    images = torch.from_numpy(clips[:, 0].transpose(0, 3, 1, 2).astype(np.float64))
    return model(pixel_values=images, input_ids=torch.from_numpy(tokens).long())


def close(ours, theirs, limit=2e-5, name=""):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max(), err_msg=name)


def test_embeddings_and_scale_match_transformers(peer):
    clips, tokens = inputs()
    wanted = theirs(peer, clips, tokens)
    out = jax.jit(VideoTextModel(SPEC).apply)({"params": as_tree(peer)}, clips, tokens)
    close(out["video"], wanted.image_embeds.detach())
    close(out["text"], wanted.text_embeds.detach())
    logits = out["logit_scale"] * out["text"] @ out["video"].T + out["logit_bias"]
    close(logits, wanted.logits_per_text.detach())


def test_gradients_of_a_contrastive_loss_match_transformers(peer):
    clips, tokens = inputs()
    peer.zero_grad()
    weights = np.random.default_rng(2).normal(size=(4, 3))
    import torch

    (theirs(peer, clips, tokens).logits_per_text * torch.from_numpy(weights)).sum().backward()

    def loss(params):
        out = VideoTextModel(SPEC).apply({"params": params}, clips, tokens)
        return jnp.sum(out["logit_scale"] * out["text"] @ out["video"].T * weights)

    found, wanted = jax.jit(jax.grad(loss))(as_tree(peer)), as_tree(peer, gradients=True)
    for (path, ours), other in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(wanted), strict=True):
        name = jax.tree_util.keystr(path)
        if "k_bias" in name or "logit_bias" in name:  # the first cannot change the softmax; the second is not theirs
            continue
        close(ours, other, 1e-4, name)


@pytest.mark.parametrize("name", ["videomae_tiny", "videomamba_tiny"])
def test_any_backbone_can_be_the_video_tower(name):
    options = {"vocab_size": 60, "context": 6}
    model = build_video_text(name, projection=12, text_options=options, num_frames=4, image_size=16, dtype="bfloat16")
    clips, tokens = jnp.ones((2, *model.spec.video.clip_shape)), jnp.full((3, 6), 59)
    variables = model.init(jax.random.key(0), clips, tokens)
    assert set(variables["params"]) == {
        "video", "text", "video_projection", "text_projection", "logit_scale", "logit_bias"
    }  # fmt: skip
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    out = jax.eval_shape(model.apply, variables, clips, tokens)
    assert (out["video"].shape, out["text"].shape) == ((2, 12), (3, 12))
    assert out["video"].dtype == out["text"].dtype == jnp.float32
    assert float(jnp.exp(variables["params"]["logit_scale"])) == pytest.approx(1 / 0.07)


def test_recomputation_and_unrolling_change_no_gradient():
    clips, tokens = inputs()
    params = VideoTextModel(SPEC).init(jax.random.key(0), clips, tokens)["params"]

    def gradient(**options):
        spec = dataclasses.replace(
            SPEC, video=dataclasses.replace(VIDEO, **options), text=dataclasses.replace(TEXT, **options)
        )
        out = lambda p: VideoTextModel(spec).apply({"params": p}, clips, tokens)  # noqa: E731
        return jax.jit(jax.grad(lambda p: jnp.sum(out(p)["text"] @ out(p)["video"].T)))(params)

    wanted, found = gradient(), gradient(remat="full", unroll=3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), wanted, found)


def test_the_cost_of_a_text_tower_is_that_of_its_matrix_products():
    # By hand for CLIP's base: 77 tokens; per token and block 4 d^2 for attention and 8 d^2 for the MLP; 2 n^2 d logits.
    # VideoPrism's tiny one: 32 tokens and a class token.
    for spec, d, n, blocks in (
        (CLIP_TEXT_SPECS["clip_base"], 512, 77, 12),
        (VIDEOPRISM_TEXT_SPECS["videoprism_tiny"], 96, 33, 2),
    ):
        assert spec.macs == blocks * (n * 12 * d * d + 2 * n * n * d)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("videomae_tiny", {"text": "clip_huge"}, "text tower 'clip_huge' is unknown"),
        ("videomae_tiny", {"text_options": {"contxt": 3}}, "has no option 'contxt'; did you mean 'context'"),
        ("videomae_tiny", {"projection": 0}, "projection=0 must be at least 1"),
        ("videomae_tiny", {"scale": 0.0}, "scale=0 must be above 0"),
        ("videomae_tiny", {"text_options": {"num_heads": 5}}, "width=64 is not a multiple of its 5 attention heads"),
    ],
)
def test_an_impossible_pair_is_refused_with_the_remedy(name, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_video_text(name, **options)


def test_a_text_beyond_the_tower_is_refused():
    model = VideoTextModel(SPEC)
    with pytest.raises(ConfigError, match="texts of 10 tokens do not fit a text tower with context=9; shorten them"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *VIDEO.clip_shape)), jnp.zeros((1, 10), jnp.int32))


@pytest.mark.parametrize(
    ("video", "text", "towers"),
    [
        (VIDEO, PRISM_TEXT, "a CLIPVisionSpec of width 24 and a VideoPrismTextSpec of width 24"),
        (PRISM, dataclasses.replace(TEXT, width=24), "a VideoPrismSpec of width 24 and a CLIPTextSpec of width 24"),
        (
            PRISM,
            dataclasses.replace(PRISM_TEXT, width=8),
            "a VideoPrismSpec of width 24 and a VideoPrismTextSpec of width 8",
        ),
    ],
)
def test_videoprisms_head_for_other_towers_is_refused_by_their_names_and_widths(video, text, towers):
    with pytest.raises(ConfigError, match=f"the towers are {towers}: leave auxiliary out"):
        VideoTextSpec(family="videoprism", video=video, text=text, projection=24, auxiliary=2)
