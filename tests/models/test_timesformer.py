"""TimeSformer against `transformers` and a second implementation of the authors' code: outputs, gradients, sizes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import keystr

from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.models.timesformer import (
    TIMESFORMER_SPECS,
    DividedBlock,
    TimeSformerClassifier,
    TimeSformerEncoder,
    TimeSformerSpec,
)
from vidjax.weights import rules as rule_tables
from vidjax.weights.families.timesformer import OFFICIAL, TRANSFORMERS_TYPES, rules

torch = pytest.importorskip("torch", reason="the oracles are in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="one oracle is in transformers (extra: test)")
import timesformer_torch  # noqa: E402 - needs torch
from timesformer_peer import peer, random_clips, read_transformers  # noqa: E402 - needs torch and transformers

CLASSES = 5
SPECS = {
    "square": TimeSformerSpec(24, 3, 4, 80, patch_size=4, num_frames=4, image_size=12),
    "one head, one block": TimeSformerSpec(15, 1, 1, 31, patch_size=6, num_frames=3, image_size=12),
    "one frame": TimeSformerSpec(18, 2, 3, 40, patch_size=8, num_frames=1, image_size=24, norm_eps=1e-3),
}
UNSQUARE = TimeSformerSpec(20, 2, 5, 33, patch_size=5, num_frames=3, image_size=(10, 25))


def close(ours, theirs, limit):
    """Largest difference relative to the largest value of the oracle."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max())


def trees_close(ours, theirs, limit=1e-4):
    """Largest difference relative to the leaf's largest entry or, for biases of queries and keys, to their kernel's.

    Attention does not depend on a bias shared by all keys, so its gradient is only rounding.
    """
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    largest = {keystr(path): np.abs(leaf).max() for path, leaf in jax.tree.leaves_with_path(theirs)}
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        name = keystr(path)
        scale = max(largest[name], largest.get(name.replace("q_bias", "kernel").replace("k_bias", "kernel"), 0.0))
        np.testing.assert_allclose(a, b, rtol=0, atol=limit * scale, err_msg=name)


def logits_and_gradients(module, params, clips, weights):
    """The logits, and the gradients of the scalar sum(weights * logits)."""

    def loss(params):
        logits = module.apply({"params": params}, clips)["logits"]
        return jnp.sum(weights * logits), logits

    (_, logits), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return logits, gradients


@pytest.mark.parametrize(
    ("attention_type", "name"),
    [
        *(("divided", name) for name in SPECS),
        *(("joint", name) for name in ("square", "one head, one block")),
        *(("space_only", name) for name in ("square", "one head, one block")),
    ],
)
def test_logits_and_gradients_match_transformers(name, attention_type):
    """With attention within frames, transformers' parts are combined in the original's order: mean, then norm."""
    spec = dataclasses.replace(SPECS[name], attention_type=attention_type)
    model = peer(spec, CLASSES)
    clips = random_clips(spec)
    weights = np.random.default_rng(1).normal(size=(2, CLASSES))
    pixels = torch.from_numpy(clips.transpose(0, 1, 4, 2, 3)).double()
    if attention_type == "space_only":
        hidden = model.timesformer(pixels, output_hidden_states=True).hidden_states[-1]
        frames = hidden.unflatten(0, (2, spec.num_frames)).mean(1)
        theirs = model.classifier(model.timesformer.layernorm(frames)[:, 0])
    else:
        theirs = model(pixels).logits
    (theirs * torch.from_numpy(weights)).sum().backward()

    module = TimeSformerClassifier(spec, CLASSES)
    params = read_transformers(model, spec, CLASSES, lambda parameter: parameter)
    logits, gradients = logits_and_gradients(module, params, clips, weights)
    close(logits, theirs.detach().numpy(), 2e-5)
    trees_close(gradients, read_transformers(model, spec, CLASSES, lambda parameter: parameter.grad))


@pytest.mark.parametrize("attention_type", TRANSFORMERS_TYPES)
def test_logits_and_gradients_match_the_original_on_frames_that_are_not_square(attention_type):
    spec = dataclasses.replace(UNSQUARE, attention_type=attention_type)
    compare_with_statement(spec, spec)


@pytest.mark.parametrize(
    ("attention_type", "num_frames", "image_size"),
    [
        ("divided", 5, (10, 25)),
        pytest.param("divided", 2, (20, 15), marks=pytest.mark.slow),
        ("joint", 4, (15, 40)),
        ("space_only", 2, (5, 30)),
    ],
)
def test_an_encoder_resizes_positions_for_other_grids_as_the_original_does(attention_type, num_frames, image_size):
    spec = dataclasses.replace(UNSQUARE, attention_type=attention_type)
    compare_with_statement(spec, dataclasses.replace(spec, num_frames=num_frames, image_size=image_size))


class AnyGrid(TimeSformerClassifier):
    """The classifier without its check of the grid."""

    def __call__(self, clips, train=False):
        return self.head(self.encoder(clips, train)["cls"], train)


def compare_with_statement(spec, of_clips):
    state = timesformer_torch.random_state(spec, CLASSES)
    clips = random_clips(of_clips)
    weights = np.random.default_rng(1).normal(size=(2, CLASSES))
    theirs = timesformer_torch.logits(state, spec, torch.from_numpy(clips).double())
    (theirs * torch.from_numpy(weights)).sum().backward()

    module, table = AnyGrid(spec, CLASSES), rules(spec, CLASSES, OFFICIAL)
    shapes = jax.eval_shape(module.init, jax.random.key(0), clips)["params"]
    params = rule_tables.read(table, {key: value.detach().numpy() for key, value in state.items()}, lambda: shapes)
    logits, gradients = logits_and_gradients(module, params, clips, weights)
    close(logits, theirs.detach().numpy(), 2e-5)
    wanted = rule_tables.read(table, {key: value.grad.numpy() for key, value in state.items()}, lambda: shapes)
    trees_close(gradients, wanted)


def test_tokens_are_time_first_and_after_the_norm():
    """If frames do not see each other, a frame that differs from the others changes only its own tokens."""
    module = build_model("timesformer_tiny", num_classes=0, attention_type="space_only", image_size=16)
    clips = np.random.default_rng(0).normal(size=(1, *module.spec.clip_shape)).astype(np.float32)
    params = jax.jit(module.init)(jax.random.key(0), clips)
    apply = jax.jit(module.apply)
    before = apply(params, clips)["tokens"].reshape(8, 4, 96)
    clips[0, 5] += 1.0
    after = apply(params, clips)["tokens"].reshape(8, 4, 96)
    changed = np.abs(before - after).max(axis=(1, 2)) > 1e-3
    assert changed.tolist() == [False] * 5 + [True] + [False] * 2
    np.testing.assert_allclose(after.mean(-1), 0.0, atol=1e-5)  # as after a norm with its initial scale and bias


def test_the_base_model_has_exactly_as_many_parameters_as_transformers():
    with torch.device("meta"):
        config = transformers.TimesformerConfig(num_labels=400)
        theirs = sum(p.numel() for p in transformers.TimesformerForVideoClassification(config).parameters())
    for name in ("base", "hr", "large"):
        module = build_model(f"timesformer_{name}", num_classes=400)
        clips = jax.ShapeDtypeStruct((1, *module.spec.clip_shape), jnp.float32)
        params = jax.eval_shape(module.init, jax.random.key(0), clips)["params"]
        more_frames, more_patches = module.spec.num_frames - 8, (module.spec.frame_size[0] // 16) ** 2 - 196
        wanted = theirs + (more_frames + more_patches) * 768
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == wanted
    assert theirs / 1e6 == pytest.approx(121.6, abs=0.05)


@pytest.mark.parametrize(("name", "tera_macs"), [("base", 0.59), ("hr", 5.11), ("large", 7.14)])
def test_macs_match_the_paper(name, tera_macs):
    """Table 4 of arXiv:2102.05095, for three views, where they are called TFLOPs."""
    assert 3 * TIMESFORMER_SPECS[name].classifier_macs(400) / 1e12 == pytest.approx(tera_macs, rel=0.02)


@pytest.mark.parametrize("attention_type", TRANSFORMERS_TYPES)
def test_macs_count_the_matrix_products_that_are_computed(attention_type):
    module = build_model("timesformer_tiny", num_classes=7, attention_type=attention_type, unroll=4, attention="xla")
    clips = jnp.zeros((1, *module.spec.clip_shape))
    params = jax.eval_shape(module.init, jax.random.key(0), clips)
    jaxpr = jax.make_jaxpr(lambda p, x: module.apply(p, x)["logits"])(params, clips)
    s, frames = module.spec, module.spec.num_frames
    copies = 0
    if attention_type == "divided":  # one class token per frame, all redundant except one
        over_time = frames * (5 * s.width**2 + 2 * frames * s.width)
        copies = s.depth * (over_time + (frames - 1) * 2 * s.width * s.mlp_dim)
    assert s.classifier_macs(7) + copies == products(jaxpr.jaxpr)


def products(jaxpr):
    """Multiply-accumulates of a jaxpr's `dot_general`s; those in scans count as often as they run."""
    total = 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            inner = np.prod([eqn.invars[0].aval.shape[axis] for axis in contracted], dtype=np.int64)
            total += int(eqn.outvars[0].aval.size * inner)
        times = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += times * products(inner)
    return total


def test_a_new_model_starts_as_published():
    module = build_model("timesformer_tiny", num_classes=400)
    encoder = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *module.spec.clip_shape)))["params"]["encoder"]
    blocks = encoder["blocks"]
    for zero in (blocks["temporal_fc"]["kernel"], blocks["temporal_fc"]["bias"], encoder["time_embed"]):
        assert not np.any(zero)
    for normal in (blocks["temporal_attn"]["qkv"]["kernel"], blocks["mlp"]["fc1"]["kernel"], encoder["pos_embed"]):
        assert np.std(normal) == pytest.approx(0.02, rel=0.05)
    assert np.abs(encoder["patch_embed"]["kernel"]).max() <= (8 * 8 * 3) ** -0.5  # PyTorch's convolution


def block_and_params(**options):
    """A block, and two clips for it: five frames of a class token and 40 places."""
    block = DividedBlock(12, 2, 24, **options)
    places = jax.random.normal(jax.random.key(0), (2, 5, 40, 12))
    x = jnp.concatenate([jnp.ones((2, 5, 1, 12)), places], axis=2)
    params = jax.tree.map(
        lambda leaf: 0.5 + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape),
        jax.eval_shape(block.init, jax.random.key(1), x)["params"],
    )
    return block, params, x


def test_a_block_that_drops_everything_still_adds_the_bias_of_temporal_fc():
    """The authors' code applies that layer after stochastic depth, and only to patches."""
    block, params, x = block_and_params()
    almost_one = jnp.float32(1 - 1e-7)
    rngs = {"dropout": jax.random.key(2)}
    after, _ = jax.jit(block.apply)({"params": params}, x, almost_one, rngs=rngs)
    np.testing.assert_array_equal(after[:, :, 0], x[:, :, 0])
    np.testing.assert_allclose(after[:, :, 1:], x[:, :, 1:] + params["temporal_fc"]["bias"], rtol=1e-6)


def test_stochastic_depth_over_time_drops_places_in_all_their_frames():
    block, params, x = block_and_params()
    for branch in (params["attn"]["proj"], params["mlp"]["fc2"]):  # only attention over time does anything
        branch.update(jax.tree.map(jnp.zeros_like, branch))
    params["temporal_fc"]["bias"] = jnp.zeros(12)
    rngs = {"dropout": jax.random.key(2)}
    after, _ = jax.jit(block.apply)({"params": params}, x, jnp.float32(0.5), rngs=rngs)
    changed = np.any(np.abs(after - x)[:, :, 1:] > 1e-6, axis=-1)  # (b t s)
    assert (changed == changed[:, :1]).all()
    assert 0.3 < changed.mean() < 0.7


def test_stochastic_depth_drops_frames_within_space_and_clips_in_the_mlp():
    """A dropped frame's update of the class token is missing from the mean over frames."""
    block, params, x = block_and_params()
    params["temporal_fc"] = jax.tree.map(jnp.zeros_like, params["temporal_fc"])
    without_mlp = params | {"mlp": params["mlp"] | {"fc2": jax.tree.map(jnp.zeros_like, params["mlp"]["fc2"])}}
    rngs = {"dropout": jax.random.key(4)}
    after, _ = jax.jit(block.apply)({"params": without_mlp}, x, jnp.float32(0.5), rngs=rngs)
    kept = np.any(np.abs(after - x)[:, :, 1:] > 1e-6, axis=(2, 3))  # (b t)
    assert 0 < kept.sum() < kept.size
    whole, _ = jax.jit(block.apply)({"params": without_mlp}, x)
    of_class = (whole - x)[:, :1, 0]  # the mean over frames, which see different patches, has as many terms as are kept
    assert (np.abs((after - x)[:, :, 0] - of_class) > 1e-3).any()
    np.testing.assert_array_equal((after - x)[:, :, 0], np.broadcast_to((after - x)[:, :1, 0], (2, 5, 12)))

    without_space = params | {"attn": params["attn"] | {"proj": jax.tree.map(jnp.zeros_like, params["attn"]["proj"])}}
    many = jnp.concatenate([x] * 8)
    after, _ = jax.jit(block.apply)({"params": without_space}, many, jnp.float32(0.5), rngs=rngs)
    kept = np.any(np.abs(after - many) > 1e-6, axis=3).reshape(16, -1)  # (b t*s)
    assert (kept == kept[:, :1]).all()
    assert 0 < kept[:, 0].sum() < 16


@pytest.mark.slow
def test_how_it_is_computed_changes_nothing():
    spec = dataclasses.replace(SPECS["square"], depth=2, drop_path=0.3)
    clips = random_clips(spec)
    params = jax.jit(TimeSformerClassifier(spec, CLASSES).init)(jax.random.key(0), clips)["params"]

    def gradients(spec):
        module = TimeSformerClassifier(spec, CLASSES)

        def loss(params):
            out = module.apply({"params": params}, clips, train=True, rngs={"dropout": jax.random.key(3)})
            return jnp.square(out["logits"]).sum() * 1e3

        return jax.jit(jax.grad(loss))(params)

    other = dataclasses.replace(spec, remat="full", unroll=2, attention="blocked")
    trees_close(gradients(other), gradients(spec))


def test_one_set_of_parameters_serves_views_of_many_shapes_under_jit():
    spec = TIMESFORMER_SPECS["tiny"]
    encoder = TimeSformerEncoder(spec)
    params = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, *spec.clip_shape)))
    for t, side in ((8, 64), (16, 64), (8, 24), (2, 32)):
        clips = jax.ShapeDtypeStruct((3, t, side, side, 3), jnp.float32)
        out = jax.eval_shape(jax.jit(encoder.apply), params, clips)
        assert out["tokens"].shape == (3, t * (side // 8) ** 2, 96)
        assert out["cls"].shape == (3, 96)


@pytest.mark.parametrize("attention_type", ["divided", "space_only"])
def test_groups_of_clips_are_encoded_as_each_alone(attention_type):
    spec = dataclasses.replace(SPECS["square"], attention_type=attention_type)
    groups = [random_clips(dataclasses.replace(spec, num_frames=t, image_size=side)) for t, side in ((4, 12), (2, 8))]
    encoder = TimeSformerEncoder(spec)
    params = jax.jit(encoder.init)(jax.random.key(0), groups[0])
    noise = jax.random.normal(jax.random.key(1), (sum(x.size for x in jax.tree.leaves(params)),))
    params = jax.tree.map(lambda x: x + 0.1 * noise[: x.size].reshape(x.shape), params)  # temporal_fc starts at zero

    def loss(params, encode):
        cls = encode(params)
        return sum(jnp.sum(jnp.sin(x)) for x in cls), cls

    def run(encode):
        return jax.jit(jax.grad(functools.partial(loss, encode=encode), has_aux=True))(params)

    ours, together = run(lambda params: encoder.apply(params, groups, method="encode_groups"))
    theirs, alone = run(lambda params: [encoder.apply(params, clips)["cls"] for clips in groups])
    for a, b in zip(together, alone, strict=True):
        close(a, b, 1e-5)
    trees_close(ours, theirs)


def test_clips_that_do_not_fit_are_refused_with_the_remedy():
    spec = TIMESFORMER_SPECS["tiny"]
    with pytest.raises(ConfigError, match="build it with num_frames=16"):
        jax.eval_shape(TimeSformerClassifier(spec, 3).init, jax.random.key(0), jnp.zeros((1, 16, 64, 64, 3)))
    with pytest.raises(ConfigError, match=r"20 pixels is not a multiple of patch_size=8; use .*16 or 24"):
        jax.eval_shape(TimeSformerEncoder(spec).init, jax.random.key(0), jnp.zeros((1, 8, 20, 64, 3)))
    with pytest.raises(ConfigError, match="attention_type='time' is unknown; choose one of divided, joint, space_only"):
        build_model("timesformer_tiny", num_classes=3, attention_type="time")


@pytest.mark.slow
def test_it_learns_the_direction_of_time():
    """A bright patch moves right or left over the same places, so that no single frame gives the class away."""
    right = np.zeros((4, 8, 32, 3), np.float32)
    for frame in range(4):
        right[frame, :, 8 * frame : 8 * frame + 8] = 2.0
    clips, labels = jnp.asarray(np.stack([right, right[::-1]])), jnp.array([0, 1])
    module = build_model("timesformer_tiny", num_classes=2, num_frames=4, image_size=(8, 32), depth=1, init_std=0.1)
    params = jax.jit(module.init)(jax.random.key(0), clips)["params"]
    optimizer = optax.adam(1e-3)

    def loss(params):
        logits = module.apply({"params": params}, clips)["logits"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry
            value, gradients = jax.value_and_grad(loss)(params)
            updates, state = optimizer.update(gradients, state)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), length=300)[1]

    losses = train(params)
    assert losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert losses[-1] < 0.05


def test_attention_within_frames_cannot_tell_the_order_of_frames():
    module = build_model("timesformer_tiny", num_classes=5, image_size=16, attention_type="space_only")
    clips = random_clips(module.spec)
    params = jax.jit(module.init)(jax.random.key(0), clips)
    logits = [jax.jit(module.apply)(params, c)["logits"] for c in (clips, clips[:, ::-1])]
    close(logits[0], logits[1], 2e-5)
