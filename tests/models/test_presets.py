"""Every preset instantiates, has as many parameters as the published model, and refuses values that do not fit."""

import jax
import jax.numpy as jnp
import pytest

import vidjax
from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import FAMILIES, build_model, family_of, model_names
from vidjax.models.videomae import VIDEOMAE_SPECS

# Published millions of parameters (arXiv:2203.12602): the encoder alone, and with the decoder of the authors' scripts.
PUBLISHED = {"small": (21.9, 24.0), "base": (86.2, 94.2), "large": (303.9, 343.0), "huge": (631.6, 692.5)}

# width, depth, decoder width, decoder depth from the paper and the scripts; patch 16, tubelet 2.
ARCHITECTURE = {
    "small": (384, 12, 192, 4),
    "base": (768, 12, 384, 4),
    "large": (1024, 24, 512, 12),
    "huge": (1280, 32, 640, 12),
}


def shapes(name, num_classes=None, **overrides):
    module = build_model(name, num_classes=num_classes, **overrides)
    clips = jax.ShapeDtypeStruct((1, *module.spec.clip_shape), jnp.float32)
    inputs = [clips]
    if num_classes is None:
        inputs += jax.eval_shape(lambda: ops.tube_mask(jax.random.key(0), 1, module.spec.grid, 0.75))
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return module, variables["params"], jax.eval_shape(module.apply, variables, *inputs)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def blocks_by_hand(d, depth):
    """qkv without bias, q and v biases, projection, two MLP layers four times as wide, two layer norms."""
    return depth * (3 * d * d + 2 * d + (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d) + 2 * 2 * d)


@pytest.mark.parametrize(  # test_zoo.py builds all of them too
    "name", [pytest.param(name, marks=() if name.endswith("_tiny") else pytest.mark.slow) for name in model_names()]
)
def test_every_preset_instantiates_in_float32_parameters(name):
    if FAMILIES[family_of(name)[0]].pretraining:
        module, params, out = shapes(name, dtype="bfloat16")
        assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
        if "reconstruction" in out:
            assert out["reconstruction"].shape[2] == module.spec.patch_dim
        else:  # features instead of pixels
            assert out["predicted"].shape[2] == module.spec.width
            assert out["predicted"].dtype == jnp.float32
    module, params, out = shapes(name, num_classes=11, dtype="bfloat16")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
    assert out["tokens"].shape == (1, module.spec.num_tokens, module.spec.width)
    assert out["tokens"].dtype == jnp.bfloat16
    assert out["logits"].shape == (1, 11)
    assert out["logits"].dtype == out["pooled"].dtype == jnp.float32
    _, headless, out = shapes(name, num_classes=0, dtype="bfloat16")
    assert set(out) >= {"tokens", "pooled"}
    assert "logits" not in out
    assert set(params) - set(headless) - {"pooler"} == {"head"}  # V-JEPA 2's pooler belongs to the head


@pytest.mark.parametrize("size", ARCHITECTURE)
def test_parameter_counts_match_the_official_modules_exactly(size):
    d, depth, dd, decoder_depth = ARCHITECTURE[size]
    patch = 2 * 16 * 16 * 3
    encoder = patch * d + d + blocks_by_hand(d, depth) + 2 * d
    pretraining = encoder + d * dd + dd + blocks_by_hand(dd, decoder_depth) + 2 * dd + dd * patch + patch
    _, params, _ = shapes(f"videomae_{size}")
    assert count(params["encoder"]) == encoder
    assert count(params) == pretraining
    assert count(params["encoder"]) / 1e6 == pytest.approx(PUBLISHED[size][0], rel=0.02)
    assert count(params) / 1e6 == pytest.approx(PUBLISHED[size][1], rel=0.02)
    _, params, _ = shapes(f"videomae_{size}", num_classes=400)
    assert count(params) == encoder + 400 * d + 400  # fc_norm replaces the encoder's norm


def test_parameter_counts_of_videomae_v2_match_its_code():
    # Giant: patches of 14 pixels, MLPs 48/11 times as wide, decoder 512 wide and 4 deep; published as 1B.
    def block(d, mlp):
        return 3 * d * d + 2 * d + (d * d + d) + (d * mlp + mlp) + (mlp * d + d) + 2 * 2 * d

    patch, d, dd = 2 * 14 * 14 * 3, 1408, 512
    encoder = patch * d + d + 40 * block(d, d * 48 // 11) + 2 * d
    decoder = d * dd + dd + 4 * block(dd, dd * 48 // 11) + 2 * dd + dd * patch + patch
    _, params, _ = shapes("videomae_giant")
    assert count(params["encoder"]) == encoder
    assert count(params) == encoder + decoder
    assert encoder / 1e9 == pytest.approx(1.01, rel=0.005)
    # Huge: V1's encoder with a decoder 512 wide and 4 deep.
    _, params, _ = shapes("videomae_huge_v2")
    decoder = 1280 * dd + dd + 4 * block(dd, 4 * dd) + 2 * dd + dd * 1536 + 1536
    assert count(params) == count(shapes("videomae_huge")[1]["encoder"]) + decoder


def test_parameter_count_of_the_base_model_matches_transformers():
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch's VideoMAE (extra: test)")
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    with torch.device("meta"):
        pretraining = transformers.VideoMAEForPreTraining(transformers.VideoMAEConfig(use_mean_pooling=False))
        classifier = transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(num_labels=400))
    assert count(shapes("videomae_base")[1]) == sum(p.numel() for p in pretraining.parameters())
    assert count(shapes("videomae_base", num_classes=400)[1]) == sum(p.numel() for p in classifier.parameters())


def test_blocks_are_stacked_on_axis_0_with_a_separate_axis_for_heads():
    _, params, _ = shapes("videomae_base")
    block = params["encoder"]["blocks"]
    assert block["attn"]["qkv"]["kernel"].shape == (12, 768, 3, 12, 64)
    assert set(block["attn"]["qkv"]) == {"kernel", "q_bias", "v_bias"}
    assert block["attn"]["proj"]["kernel"].shape == (12, 12, 64, 768)
    assert params["decoder"]["blocks"]["mlp"]["fc1"]["kernel"].shape == (4, 384, 1536)
    assert set(params) == {"encoder", "encoder_to_decoder", "mask_token", "decoder"}


def test_macs_match_the_paper():
    base, small = VIDEOMAE_SPECS["base"], VIDEOMAE_SPECS["small"]
    # 180 and 57 "GFLOPs" per view; pre-training with visible-only embedding is 67.6 GFLOP = 33.8 GMACs.
    assert base.classifier_macs(400) / 1e9 == pytest.approx(180, rel=0.02)
    assert small.classifier_macs(400) / 1e9 == pytest.approx(57, rel=0.02)
    assert base.pretraining_macs(160, 1408) / 1e9 == pytest.approx(33.8, rel=0.01)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"num_frames": 15}, "15 frames is not a multiple of tubelet_size=2; use data.num_frames=14 or 16"),
        ({"num_frames": 1}, "1 frames is not a multiple of tubelet_size=2; use data.num_frames=2"),
        ({"image_size": 225}, "225 pixels is not a multiple of patch_size=16; use data.image_size=224 or 240"),
        ({"image_size": (224, 100)}, "100 pixels is not a multiple of patch_size=16; use data.image_size=96 or 112"),
        ({"num_heads": 7}, "width=768 is not a multiple of its 7 attention heads"),
        ({"remat": "some"}, "remat='some' is unknown; choose one of none, dots, attention, scans, full"),
        ({"drop_path": 1.0}, "drop_path=1.0 must be at least 0 and below 1"),
        ({"num_head": 7}, "has no option 'num_head'; did you mean 'num_heads'"),
        ({"num_classes": -1}, "num_classes=-1 must be at least 0"),
    ],
)
def test_an_impossible_model_is_refused_with_the_remedy(overrides, sentence):
    with pytest.raises(ConfigError, match=sentence.replace("(", r"\(")):
        build_model("videomae_base", **overrides)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'videomae_base'"):
        vidjax.build_model("videomae_bse")


def test_clips_of_another_shape_are_refused_with_the_remedy():
    module = build_model("videomae_tiny", num_classes=3, num_frames=4, image_size=16)
    with pytest.raises(ConfigError, match=r"8x16x16x3 .* built for 4x16x16x3; build it with num_frames=8"):
        jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8, 16, 16, 3)))


@pytest.mark.parametrize("family", ["videomae", "timesformer", "videomamba", "vjepa2"])
def test_the_deviation_of_initial_kernels_can_be_set_for_narrow_models(family):
    model = build_model(f"{family}_tiny", num_classes=8, num_frames=4, image_size=16, init_std=0.06)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *model.spec.clip_shape)))["params"]
    block = params["encoder"]["blocks"]
    kernel = block["mixer"]["in_proj"]["kernel"] if family == "videomamba" else block["attn"]["qkv"]["kernel"]
    assert jnp.std(kernel) == pytest.approx(0.06, rel=0.05)
