"""ViViT: model 1 against `transformers`, all four against the equations in `vivit_torch`, outputs and gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.models.layers import DropPath
from vidjax.models.vivit import BLOCKS, VIVIT_SPECS, ViViTClassifier, ViViTSpec
from vidjax.weights import rules as rule_tables
from vidjax.weights.families.vivit import rules
from vidjax.weights.families.vivit_scenic import scenic_rules

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
import vivit_peer  # noqa: E402 - needs torch and transformers
import vivit_torch  # noqa: E402 - needs torch

CLASSES = 5
SPECS = {
    "joint": ViViTSpec(24, 3, 4, 80, patch_size=4, num_frames=4, image_size=12),
    "joint, tubelet 1, wide": ViViTSpec(15, 1, 3, 31, patch_size=6, tubelet_size=1, num_frames=3, image_size=(12, 30)),
    "joint, tubelet 3, tall": ViViTSpec(8, 2, 1, 32, patch_size=8, tubelet_size=3, num_frames=6, image_size=(24, 16)),
    "encoder": ViViTSpec(20, 2, 5, 36, "encoder", 3, patch_size=4, num_frames=6, image_size=(8, 12)),
    "encoder, tubelet 1": ViViTSpec(
        9, 3, 3, 20, "encoder", 1, patch_size=4, tubelet_size=1, num_frames=3, image_size=8
    ),
    "self_attention": ViViTSpec(16, 3, 4, 40, "self_attention", patch_size=4, num_frames=4, image_size=(12, 8)),
    "self_attention, tubelet 3": ViViTSpec(
        15, 1, 5, 21, "self_attention", patch_size=5, tubelet_size=3, num_frames=9, image_size=10
    ),
    "dot_product": ViViTSpec(24, 3, 6, 50, "dot_product", patch_size=4, num_frames=6, image_size=(8, 12)),
    "dot_product, tubelet 1": ViViTSpec(
        10, 2, 2, 33, "dot_product", patch_size=4, tubelet_size=1, num_frames=3, image_size=8
    ),
}
JOINT = [name for name in SPECS if name.startswith("joint")]


def random_batch(spec, rows=2):
    rng = np.random.default_rng(1)
    return rng.normal(size=(rows, *spec.clip_shape)).astype(np.float32), rng.integers(0, CLASSES, rows)


def shapes_of(spec, num_classes=CLASSES):
    clips = jax.ShapeDtypeStruct((1, *spec.clip_shape), jnp.float32)
    return jax.eval_shape(ViViTClassifier(spec, num_classes).init, jax.random.key(0), clips)["params"]


def run(spec, params, clips, labels):
    """Outputs and the gradients of the cross-entropy, under jit."""
    module = ViViTClassifier(spec, CLASSES)

    def loss(params):
        out = module.apply({"params": params}, clips)
        return optax.softmax_cross_entropy_with_integer_labels(out["logits"], labels).mean(), out

    (_, out), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return out, grads


def compare(ours, theirs, tolerance):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def compare_trees(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        # A bias of the keys has no effect on the softmax: its gradient is zero up to rounding.
        limit = 1e-6 * scale if "k_bias" in jax.tree_util.keystr(path) else 1e-4 * np.abs(b).max()
        assert np.abs(a - b).max() <= limit, jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", ["joint", *(name for name in SPECS if name not in JOINT)])
def test_logits_and_gradients_of_all_four_models_match_the_equations(name):
    spec = SPECS[name]
    clips, labels = random_batch(spec)
    arrays = vivit_torch.flat(vivit_torch.scenic_state(spec, CLASSES))
    state = {key: torch.from_numpy(value).double().requires_grad_() for key, value in arrays.items()}
    logits = vivit_torch.classify(state, torch.from_numpy(clips).double(), spec.factorization)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()

    table, shapes = scenic_rules(spec, CLASSES), shapes_of(spec)
    out, grads = run(spec, rule_tables.read(table, arrays, lambda: shapes), clips, labels)
    compare(out["logits"], logits.detach(), 2e-5)
    compare_trees(
        grads, rule_tables.read(table, {key: value.grad.numpy() for key, value in state.items()}, lambda: shapes)
    )


@pytest.mark.parametrize("name", JOINT)
def test_tokens_logits_and_gradients_of_model_1_match_transformers(name):
    spec, model = SPECS[name], vivit_peer.peer(SPECS[name], CLASSES)
    clips, labels = random_batch(spec)
    pixels = torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 1, 4, 2, 3))).double()
    states = model.vivit(pixels).last_hidden_state
    logits = model(pixels).logits
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()

    table, shapes = rules(spec, CLASSES), shapes_of(spec)
    params = rule_tables.read(table, vivit_peer.by_stored_key(model, lambda p: p), lambda: shapes)
    out, grads = run(spec, params, clips, labels)
    compare(out["logits"], logits.detach(), 2e-5)
    compare(out["cls"], states[:, 0].detach(), 2e-5)
    compare(out["tokens"], states[:, 1:].detach(), 2e-5)
    compare_trees(grads, rule_tables.read(table, vivit_peer.by_stored_key(model, lambda p: p.grad), lambda: shapes))


def by_hand(d, m, depth, attentions=1):
    """Parameters of attention with four square kernels and of two MLP layers, with a norm before each."""
    return depth * (attentions * (4 * (d * d + d) + 2 * d) + 2 * d * m + m + d + 2 * d)


@pytest.mark.parametrize(
    ("size", "overrides", "published"),
    [
        ("base", {}, 88.9),
        ("base_fe", {}, 115.1),
        ("base_fsa", {}, 117.3),
        ("base_fdp", {}, 88.9),
        ("large_fe", {}, 354.9),
        ("large_fe", {"temporal_depth": 24}, 606.8),
    ],
)
def test_parameter_counts_match_the_architecture_exactly_and_the_published_ones_closely(size, overrides, published):
    spec = dataclasses.replace(VIVIT_SPECS[size], **overrides)
    d, m, classes = spec.width, 4 * spec.width, 400
    expected = 2 * 16 * 16 * 3 * d + d + d * classes + classes + 2 * d
    if spec.factorization == "encoder":
        expected += by_hand(d, m, spec.depth) + d + 197 * d
        expected += by_hand(d, m, spec.temporal_depth) + d + 17 * d + 2 * d
    else:
        expected += by_hand(d, m, spec.depth, 2 if spec.factorization == "self_attention" else 1)
        expected += d + 3137 * d if spec.factorization == "joint" else 3136 * d
    counted = sum(leaf.size for leaf in jax.tree.leaves(shapes_of(spec, classes)))
    assert counted == expected
    assert counted / 1e6 == pytest.approx(published, rel=1e-3)


def test_the_parameter_count_of_model_1_matches_transformers():
    with torch.device("meta"):
        model = transformers.VivitForVideoClassification(transformers.VivitConfig(num_labels=400))
    counted = sum(leaf.size for leaf in jax.tree.leaves(shapes_of(VIVIT_SPECS["base"], 400)))
    assert counted == sum(parameter.numel() for parameter in model.parameters())


def test_macs_match_the_paper():
    """arXiv:2103.15691, table 2: "GFLOPs" that count a multiplication and an addition as one, plus a little more."""
    for size, published in {"base": 455.2, "base_fe": 284.4, "base_fsa": 372.3, "base_fdp": 277.1}.items():
        assert VIVIT_SPECS[size].classifier_macs(400) / 1e9 == pytest.approx(published, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("factorization", BLOCKS)
def test_the_tiny_model_overfits_one_batch(factorization):
    module = build_model("vivit_tiny", num_classes=4, num_frames=4, image_size=16, depth=2, factorization=factorization)
    clips, labels = random_batch(module.spec, 8)[0], jnp.arange(8) % 4
    params = jax.jit(module.init)(jax.random.key(0), clips)["params"]
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9))

    def loss(params):
        logits = module.apply({"params": params}, clips)["logits"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(carry, _):
        value, grads = jax.value_and_grad(loss)(carry[0])
        updates, opt_state = tx.update(grads, carry[1])
        return (optax.apply_updates(carry[0], updates), opt_state), value

    _, losses = jax.jit(lambda params: jax.lax.scan(step, (params, tx.init(params)), length=30))(params)
    assert losses[0] == pytest.approx(np.log(4), rel=1e-5)  # the head starts at zero
    assert losses[-1] < 0.05


def test_stochastic_depth_does_not_rescale_the_remaining_branches():
    x = jnp.ones((1000, 3))
    kept = DropPath(rescale=False).apply({}, x, jnp.float32(0.4), rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(kept)) == {0.0, 1.0}
    assert (kept == kept[:, :1]).all()
    assert float(kept.mean()) == pytest.approx(0.6, abs=0.05)
    scaled = DropPath().apply({}, x, jnp.float32(0.4), rngs={"dropout": jax.random.key(0)})
    np.testing.assert_allclose(scaled, kept / 0.6, rtol=1e-6)


@pytest.mark.parametrize("factorization", ["encoder", "dot_product"])
def test_stochastic_depth_drops_the_same_branches_for_all_frames_of_a_clip(factorization):
    """With equal frames and no positions over time, frames can differ only in what is dropped."""
    spec = ViViTSpec(8, 3, 2, 16, factorization, 1, patch_size=4, num_frames=4, image_size=8, drop_path=0.9)
    module = ViViTClassifier(spec, 3)
    clips = jnp.asarray(np.random.default_rng(0).normal(size=(16, 1, 8, 8, 3)), jnp.float32).repeat(4, axis=1)
    params = jax.jit(module.init)(jax.random.key(0), clips)["params"]
    if factorization == "dot_product":
        params["encoder"]["pos_embed"] = jnp.tile(params["encoder"]["pos_embed"][:4], (2, 1))

    @jax.jit
    def tokens(key):
        return module.apply({"params": params}, clips, True, rngs={"dropout": key})["tokens"]

    first, again, other = tokens(jax.random.key(1)), tokens(jax.random.key(1)), tokens(jax.random.key(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(first[:, :4], first[:, 4:], atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"factorization": "spacetime"}, "choose one of joint, encoder, self_attention, dot_product"),
        ({"factorization": "dot_product", "num_heads": 3}, r"num_heads=3 is odd; use num_heads=2 or 4"),
        ({"factorization": "dot_product", "num_heads": 3, "width": 15}, "num_heads=3 is odd; use an even width"),
        ({"factorization": "encoder", "temporal_depth": 0}, "a temporal_depth of at least 1, not 0; use 4"),
        ({"temporal_depth": 3}, r"temporal_depth=3 has no effect with .*'joint', .*; leave temporal_depth out, or set"),
        ({"factorization": "dot_product", "temporal_depth": 4}, "has no effect with factorization='dot_product'"),
        ({"num_heads": 5}, "width=96 is not a multiple of its 5 attention heads; use num_heads=4 or 6"),
        ({"tubelet_init": "average"}, "tubelet_init='average' is unknown; choose one of central_frame, inflation"),
        ({"factorization": "self_attention", "drop_path": 0.1}, "has no effect with factorization='self_attention'"),
    ],
)
def test_an_impossible_model_is_refused_with_the_reason(overrides, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_model("vivit_tiny", num_classes=3, **overrides)
