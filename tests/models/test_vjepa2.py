"""V-JEPA 2 against the `transformers` implementation with the same random weights: outputs and gradients.

PyTorch computes in float64, so that only our rounding counts. Masked encoding, other levels and frames that are not
square are composed from its layers: it has none of them itself.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.models.vjepa2 import VJEPA2_SPECS, VJEPA2Classifier, VJEPA2Encoder, VJEPA2Pretraining, VJEPA2Spec
from vidjax.models.zoo import count_params

torch = pytest.importorskip("torch", reason="the oracle is PyTorch's V-JEPA 2 (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
import vjepa2_peer  # noqa: E402 - needs torch and transformers
from vjepa2_peer import as_tree, encode, peer, pixels_of, random_clips  # noqa: E402

OUTPUTS, GRADIENTS = 2e-5, 1e-4  # largest difference allowed, relative to the largest entry
SPECS = {
    "all channels turn": VJEPA2Spec(
        36, 3, 3, 144, 24, 2, 2, 96, num_mask_tokens=3, pooler_depth=2, pooler_heads=3, pooler_norm_eps=1e-6,
        patch_size=4, num_frames=4, image_size=12,
    ),
    "some channels stay, one frame a cube, other epsilon": VJEPA2Spec(
        32, 2, 2, 80, 20, 1, 2, 50, num_mask_tokens=2, pooler_depth=0, pooler_heads=2, pooler_norm_eps=1e-2,
        patch_size=6, tubelet_size=1, num_frames=3, image_size=18, norm_eps=1e-2,
    ),
    "many frames": VJEPA2Spec(
        24, 4, 1, 48, 12, 3, 1, 36, num_mask_tokens=10, pooler_depth=1, pooler_heads=1, pooler_norm_eps=1e-6,
        patch_size=4, num_frames=24, image_size=8,
    ),
}  # fmt: skip
SPEC = SPECS["all channels turn"]


def close(ours, theirs, limit=OUTPUTS, name="", scale=0.0):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    assert np.shape(ours) == theirs.shape, name
    scale = scale or np.abs(theirs).max()
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * scale, err_msg=name)


def masks(spec, context, targets, seed=0):
    """Indices of random cubes, different in each row, in no order."""
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(spec.num_tokens), (2, 1)), axis=1)
    return order[:, :context], order[:, context : context + targets]


def encoder_of(module):
    """The encoder of a module as a compiled function of parameters, clips and an index."""
    spec = module.spec

    def run(params, clips, index=None):
        patches = ops.patchify(clips, spec.tubelet_size, spec.patch_size)
        patches = patches if index is None else ops.gather_tokens(patches, index)
        return module.apply({"params": params}, patches, index, method=lambda module, *args: module.encoder(*args))

    return jax.jit(run)


def compare_gradients(found, wanted):
    """A bias shared by all keys cannot change the softmax: its gradient is rounding, compared at the queries' scale."""
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(wanted)}
    assert len(leaves) == len(jax.tree.leaves(found))
    for path, ours in jax.tree.leaves_with_path(found):
        name = jax.tree_util.keystr(path)
        of_queries = name.replace("k_bias", "q_bias").replace("['key']['bias']", "['query']['bias']")
        close(ours, leaves[name], GRADIENTS, name, np.abs(leaves[of_queries]).max())


@pytest.mark.parametrize("name", SPECS)
def test_the_encoder_matches_transformers(name):
    spec, clips = SPECS[name], random_clips(SPECS[name])
    model, module = peer(transformers.VJEPA2Model, spec), VJEPA2Pretraining(spec)
    params = as_tree(model, module, None)
    close(encoder_of(module)(params, clips), model(pixels_of(clips), skip_predictor=True).last_hidden_state)
    index, _ = masks(spec, 5, 0)
    close(encoder_of(module)(params, clips, index), encode(model, clips, index), name="of some cubes")


@pytest.mark.parametrize("name", SPECS)
def test_the_predictor_matches_transformers_for_any_masks(name):
    spec, clips = SPECS[name], random_clips(SPECS[name])
    model, module = peer(transformers.VJEPA2Model, spec), VJEPA2Pretraining(spec)
    params, (context_idx, target_idx) = as_tree(model, module, None), masks(spec, 6, 3)
    theirs = model(
        pixels_of(clips), context_mask=[torch.from_numpy(context_idx)], target_mask=[torch.from_numpy(target_idx)]
    )

    @jax.jit
    def predict(params, tokens, mask_token=1):
        arguments = ops.gather_tokens(tokens, context_idx), context_idx, target_idx
        return module.apply({"params": params}, *arguments, method=lambda module, *args: module.predictor(*args))

    tokens = theirs.last_hidden_state.detach().numpy().astype(np.float32)
    close(predict(params, tokens), theirs.predictor_output.last_hidden_state)


def test_training_encodes_the_context_alone_and_predicts_as_transformers_parts_do():
    spec, clips = SPEC, random_clips(SPEC)
    model, module = peer(transformers.VJEPA2Model, spec), VJEPA2Pretraining(spec)
    context_idx, target_idx = masks(spec, 7, 4)
    weights = np.random.default_rng(1).normal(size=(2, 4, spec.width))
    tokens = encode(model, clips, context_idx)
    theirs = vjepa2_peer.predict(model, tokens, context_idx, target_idx)
    (theirs * torch.from_numpy(weights)).sum().backward()
    params = as_tree(model, module, None)

    def loss(params):
        out = module.apply({"params": params}, clips, context_idx, target_idx)
        return jnp.sum(out["predicted"] * weights), out

    (_, out), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    close(out["tokens"], tokens, name="tokens")
    close(out["predicted"], theirs, name="predicted")
    wanted = as_tree(model, module, None, lambda p: torch.zeros_like(p) if p.grad is None else p.grad)
    compare_gradients(grads, wanted)


def test_mask_tokens_are_chosen_by_number():
    spec, clips = SPEC, random_clips(SPEC)
    model, module = peer(transformers.VJEPA2Model, spec), VJEPA2Pretraining(spec)
    params, (context_idx, target_idx) = as_tree(model, module, None), masks(spec, 6, 3)
    patches = ops.gather_tokens(ops.patchify(clips, spec.tubelet_size, spec.patch_size), context_idx)
    run = jax.jit(
        lambda number: module.apply(
            {"params": params}, patches, context_idx, target_idx, False, number, method="from_patches"
        )["predicted"],
        static_argnums=0,
    )
    with torch.no_grad():
        model.predictor.embeddings.mask_tokens[1] = model.predictor.embeddings.mask_tokens[2]
    other = as_tree(model, module, None)
    close(run(2), jax.jit(module.apply)({"params": other}, clips, context_idx, target_idx)["predicted"])
    assert np.abs(run(2) - run(0)).max() > 1e-3
    np.testing.assert_array_equal(run(0), run(3))  # there are three


@pytest.mark.parametrize("name", SPECS)
def test_the_classifier_matches_transformers_with_its_gradients(name):
    spec, clips = SPECS[name], random_clips(SPECS[name])
    model, module = peer(transformers.VJEPA2ForVideoClassification, spec, num_labels=5), VJEPA2Classifier(spec, 5)
    labels = np.array([3, 0])
    theirs = model(pixels_of(clips)).logits
    torch.nn.functional.cross_entropy(theirs, torch.from_numpy(labels)).backward()
    params = as_tree(model, module, 5)

    def loss(params):
        out = module.apply({"params": params}, clips)
        return -jax.nn.log_softmax(out["logits"])[np.arange(2), labels].mean(), out

    (_, out), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    close(out["logits"], theirs, name="logits")
    tokens = model.vjepa2(pixels_of(clips), skip_predictor=True).last_hidden_state
    close(out["tokens"], tokens, name="tokens")
    close(out["pooled"], model.pooler(tokens), name="pooled")
    compare_gradients(grads, as_tree(model, module, 5, lambda p: torch.zeros_like(p) if p.grad is None else p.grad))


def test_a_probe_of_several_levels_reads_them_side_by_side():
    spec, clips = dataclasses.replace(SPEC, levels=(0, 2)), random_clips(SPEC)
    model, module = peer(transformers.VJEPA2ForVideoClassification, SPEC, num_labels=5), VJEPA2Classifier(spec, 5)
    levels = encode(model.vjepa2, clips, levels=(0, 2))
    out = jax.jit(module.apply)({"params": as_tree(model, module, 5)}, clips)
    close(out["tokens"], levels[-1], name="tokens")
    close(out["logits"], model.classifier(model.pooler(torch.cat(levels, dim=1))), name="logits")


@pytest.mark.parametrize("norm", [False, True])
def test_outputs_of_some_blocks_match_transformers_for_some_cubes(norm):
    spec, clips, (index, _) = SPEC, random_clips(SPEC), masks(SPEC, 6, 0)
    model = peer(transformers.VJEPA2Model, spec)
    params = as_tree(model, VJEPA2Pretraining(spec), None)["encoder"]
    if not norm:
        model.encoder.layernorm = torch.nn.Identity()
    patches = ops.gather_tokens(ops.patchify(clips, spec.tubelet_size, spec.patch_size), index)
    encoder = VJEPA2Encoder(spec, (0, 2))
    found = jax.jit(lambda p: encoder.apply({"params": p}, patches, index, norm=norm, method="hidden"))(params)
    close(found["tokens"], torch.stack(encode(model, clips, index, levels=(0, 2))))


def test_frames_need_not_be_square():
    """A frame of 2 x 4 cubes lies in the corner of the 4 x 4 that `transformers` knows."""
    spec = dataclasses.replace(SPEC, image_size=(8, 16))
    model, module = peer(transformers.VJEPA2Model, spec), VJEPA2Pretraining(spec)
    assert model.config.crop_size == 16
    clips, places = random_clips(spec), np.arange(2 * 4 * 4).reshape(2, 4, 4)[:, :2].reshape(1, -1)
    tokens = encode(model, clips, places=np.tile(places, (2, 1)))
    close(encoder_of(module)(as_tree(model, module, None), clips), tokens)


@pytest.mark.parametrize(("num_frames", "image_size"), [(12, 12), (4, 20), (2, 4)])
def test_other_numbers_of_frames_and_sizes_need_no_other_weights(num_frames, image_size):
    model = peer(transformers.VJEPA2Model, SPEC)
    params = as_tree(model, VJEPA2Pretraining(SPEC), None)
    spec = dataclasses.replace(SPEC, num_frames=num_frames, image_size=image_size)
    other = transformers.VJEPA2Model(vjepa2_peer.config_of(spec)).eval().double()
    other.load_state_dict(model.state_dict())
    clips = random_clips(spec)
    close(
        encoder_of(VJEPA2Pretraining(spec))(params, clips),
        other(pixels_of(clips), skip_predictor=True).last_hidden_state,
    )


@pytest.mark.parametrize("changes", [{"unroll": 3}, {"remat": "attention"}, {"remat": "full"}, {"attention": "tiled"}])
def test_loops_recomputation_and_kernels_change_nothing(changes):
    spec, clips = dataclasses.replace(SPEC, num_frames=16), random_clips(dataclasses.replace(SPEC, num_frames=16))
    params = jax.jit(VJEPA2Classifier(spec, 5).init)(jax.random.key(0), clips)["params"]

    def gradient(spec):
        loss = lambda params: jnp.square(VJEPA2Classifier(spec, 5).apply({"params": params}, clips)["logits"]).sum()  # noqa: E731
        return jax.jit(jax.grad(loss))(params)

    ours, wanted = gradient(dataclasses.replace(spec, **changes)), gradient(spec)
    compare_gradients(ours, wanted)


@pytest.mark.parametrize("size", [size for size in VJEPA2_SPECS if size != "tiny"])
def test_parameter_counts_match_transformers(size):
    spec = VJEPA2_SPECS[size]
    with torch.device("meta"):
        base = transformers.VJEPA2Model(vjepa2_peer.config_of(spec))
        classifier = transformers.VJEPA2ForVideoClassification(vjepa2_peer.config_of(spec, num_labels=174))
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in base.named_children()}
    assert count_params(f"vjepa2_{size}", None) == counts["encoder"] + counts["predictor"]
    assert count_params(f"vjepa2_{size}", 0) == counts["encoder"]
    head = sum(p.numel() for part in (classifier.pooler, classifier.classifier) for p in part.parameters())
    assert count_params(f"vjepa2_{size}", 174) == counts["encoder"] + head


def test_deeper_kernels_start_smaller():
    """By the square root of twice the block's number, in the kernels that write to the residual stream."""
    spec = VJEPA2Spec(96, 6, 4, 384, 48, 4, 2, 192, pooler_depth=2, pooler_heads=4, num_frames=2, image_size=32)
    clips = jnp.zeros((1, *spec.clip_shape))
    index = np.arange(4)[None]
    trees = [
        jax.jit(VJEPA2Pretraining(spec).init)(jax.random.key(0), clips, index[:, :2], index[:, 2:])["params"],
        jax.jit(VJEPA2Classifier(spec, 5).init)(jax.random.key(0), clips)["params"],
    ]
    for blocks in (trees[0]["encoder"]["blocks"], trees[0]["predictor"]["blocks"], trees[1]["pooler"]["blocks"]):
        depth = len(blocks["norm1"]["scale"])
        wanted = 0.02 / np.sqrt(2 * np.arange(1, depth + 1))
        for kernel in (blocks["attn"]["proj"]["kernel"], blocks["mlp"]["fc2"]["kernel"]):
            np.testing.assert_allclose(kernel.reshape(depth, -1).std(axis=1), wanted, rtol=0.06)
        for kernel in (blocks["attn"]["qkv"]["kernel"], blocks["mlp"]["fc1"]["kernel"]):
            np.testing.assert_allclose(kernel.reshape(depth, -1).std(axis=1), 0.02, rtol=0.06)
    pooler = trees[1]["pooler"]
    np.testing.assert_allclose(pooler["mlp"]["fc2"]["kernel"].std(), 0.02 / 2, rtol=0.06)
    np.testing.assert_allclose(pooler["mlp"]["fc1"]["kernel"].std(), 0.02, rtol=0.06)
    assert not trees[0]["predictor"]["mask_token"].any()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_heads": 7}, "width=96 is not a multiple of its 7 attention heads"),
        ({"pooler_heads": 7}, "width=96 is not a multiple of pooler_heads=7; use pooler_heads=6 or 8"),
        (
            {"num_heads": 24},
            "num_heads=24 leaves 4 channels per head, but rotary positions need at least 6; use num_heads=16 or fewer",
        ),
        ({"levels": (1, 2)}, r"levels=\(1, 2\) must ascend and end with the last of the 4 blocks, which is 3"),
        ({"levels": (-1, 3)}, r"levels=\(-1, 3\) are blocks counted from 0"),
    ],
)
def test_an_impossible_model_is_refused_with_the_remedy(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_model("vjepa2_tiny", num_classes=3, **changes)
