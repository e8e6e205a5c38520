"""VideoMamba against a second PyTorch implementation of the authors' code: outputs, gradients, sizes, initialisers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidjax.config import MeshConfig
from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.models.videomamba import VIDEOMAMBA_SPECS, VideoMambaClassifier, VideoMambaSpec
from vidjax.training.mesh import make_mesh, param_shardings
from vidjax.training.optim.weight_decay import decay_mask
from vidjax.weights import rules as rule_tables
from vidjax.weights.families.videomamba import rules

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
import videomamba_torch  # noqa: E402 - needs torch

CLASSES = 5
SPECS = {
    "square": VideoMambaSpec(16, 3, patch_size=4, num_frames=3, image_size=12),
    "width no multiple of 16": VideoMambaSpec(23, 1, patch_size=6, num_frames=2, image_size=12, state_size=5),
    "not square, tubelet 2": VideoMambaSpec(
        18, 2, patch_size=4, num_frames=4, tubelet_size=2, image_size=(8, 20), conv_size=3, expand=3
    ),
    "mean of directions": VideoMambaSpec(20, 2, patch_size=8, num_frames=2, image_size=16, merge_directions="mean"),
    "one frame, other epsilon": VideoMambaSpec(8, 4, patch_size=4, num_frames=1, image_size=8, norm_eps=1e-2),
}


def peer(spec, num_classes=CLASSES, **options):
    """The PyTorch model with random parameters, in float64 so that only our rounding counts."""
    torch.manual_seed(0)
    model = videomamba_torch.VideoMamba(spec, num_classes, **options).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(parameter + 0.3 * noise if name.endswith(("log", "D", "D_b")) else 0.3 * noise)
    return model


def arrays(model, gradients=False):
    tensors = dict(model.named_parameters())
    return {key: (t.grad if gradients else t).detach().numpy() for key, t in tensors.items()}


def as_tree(state, spec, table=None):
    """Convert by our rules, those of summed directions, because gradients do not scale as weights do."""
    summed = dataclasses.replace(spec, merge_directions="sum")
    shapes = jax.eval_shape(
        VideoMambaClassifier(summed, CLASSES).init, jax.random.key(0), jnp.zeros((1, *spec.clip_shape))
    )["params"]
    return rule_tables.read(table or rules(summed, CLASSES), state, lambda: shapes)


def random_clips(spec, rows=2):
    return np.random.default_rng(1).normal(size=(rows, *spec.clip_shape)).astype(np.float32)


def as_torch(clips):
    return torch.from_numpy(clips.transpose(0, 4, 1, 2, 3).astype(np.float64))


def close(ours, theirs, limit, name=""):
    """Largest difference relative to the largest value of the oracle."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max(), err_msg=name)


@pytest.mark.parametrize(
    "name", ["square", *(pytest.param(name, marks=pytest.mark.slow) for name in SPECS if name != "square")]
)
def test_logits_and_gradients_match_the_published_model(name):
    spec, clips = SPECS[name], random_clips(SPECS[name])
    weights = np.random.default_rng(2).normal(size=(2, CLASSES))
    model = peer(spec)
    wanted = model(as_torch(clips))
    (wanted * torch.tensor(weights)).sum().backward()
    module, params = VideoMambaClassifier(spec, CLASSES), as_tree(arrays(model), spec)

    def loss(params):
        logits = module.apply({"params": params}, clips)["logits"]
        return jnp.sum(weights * logits), logits

    (_, logits), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    close(logits, wanted.detach(), 2e-5)
    wanted_gradients = as_tree(arrays(model, gradients=True), spec)
    for (path, ours), theirs in zip(
        jax.tree.leaves_with_path(gradients), jax.tree.leaves(wanted_gradients), strict=True
    ):
        close(ours, theirs, 1e-4, jax.tree_util.keystr(path))


@pytest.mark.slow
def test_the_other_scan_and_recomputation_give_the_same_gradient():
    spec, clips = SPECS["not square, tubelet 2"], random_clips(SPECS["not square, tubelet 2"])
    params = as_tree(arrays(peer(spec)), spec)

    def gradient(**options):
        module = VideoMambaClassifier(dataclasses.replace(spec, **options), CLASSES)
        return jax.jit(jax.grad(lambda p: jnp.sum(module.apply({"params": p}, clips)["logits"] ** 2)))(params)

    plain = gradient()["encoder"]["pos_embed"]
    for options in ({"scan": "associative"}, {"remat": "full", "unroll": 2}):
        close(gradient(**options)["encoder"]["pos_embed"], plain, 1e-4, str(options))


def test_bfloat16_keeps_a_float32_stream_and_stays_near():
    spec = dataclasses.replace(SPECS["square"], depth=8, dtype="bfloat16")
    exact = VideoMambaClassifier(dataclasses.replace(spec, dtype="float32"), CLASSES)
    params = jax.jit(exact.init)(jax.random.key(0), random_clips(spec))
    out = jax.jit(VideoMambaClassifier(spec, CLASSES).apply)(params, random_clips(spec))
    wanted = jax.jit(exact.apply)(params, random_clips(spec))
    assert out["cls"].dtype == jnp.float32
    # A block's inputs and outputs are rounded to 2^-8; the stream that adds them up is not.
    close(out["cls"], wanted["cls"], 8 * 2.0**-8)


# width, depth; millions of parameters with 400 classes and 8 frames; GMACs per image as published.
PUBLISHED = {
    "ti": (192, 24, 7.03, 1.1),
    "small": (384, 24, 25.6, 4.3),
    "middle": (576, 32, 73.9, 12.7),
    "base": (768, 24, 97.1, 16.9),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_parameter_counts_match_the_official_modules(size):
    d, depth, millions, _ = PUBLISHED[size]
    inner, rank = 2 * d, -(-d // 16)
    direction = 4 * inner + inner + inner * (rank + 32) + rank * inner + inner + 16 * inner + inner
    block = d * 2 * inner + 2 * direction + inner * d + d
    by_hand = (768 * d + d) + d + 197 * d + 8 * d + depth * block + d + (400 * d + 400)
    module = build_model(f"videomamba_{size}", num_classes=400)
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *module.spec.clip_shape)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == by_hand
    assert by_hand / 1e6 == pytest.approx(millions, rel=2e-3)


@pytest.mark.parametrize("size", PUBLISHED)
def test_macs_are_the_published_ones_plus_what_their_counter_misses(size):
    """The published figures are, to the last digit, only the patches, in_proj, out_proj and both convolutions."""
    d, depth, _, gmacs = PUBLISHED[size]
    image = dataclasses.replace(VIDEOMAMBA_SPECS[size], num_frames=1)
    inner, rank = 2 * d, -(-d // 16)
    hidden = 197 * depth * 2 * (inner * (rank + 32) + rank * inner + 2 * 16 * inner)  # x_proj, dt_proj, scan
    assert (image.classifier_macs(1000) - hidden) / 1e9 == pytest.approx(gmacs, abs=0.051)
    assert 1.1 < image.classifier_macs(1000) / (image.classifier_macs(1000) - hidden) < 1.35


def starts(spec):
    clips = jnp.zeros((1, *spec.clip_shape))
    return jax.jit(VideoMambaClassifier(spec, CLASSES).init)(jax.random.key(0), clips)["params"]["encoder"]


def test_parameters_start_as_in_the_published_code():
    spec = dataclasses.replace(VIDEOMAMBA_SPECS["tiny"], image_size=16)
    encoder = starts(spec)
    mixer = encoder["blocks"]["mixer"]
    for name in ("cls_token", "time_embed"):
        assert not np.any(encoder[name])
    for direction in ("forward", "backward"):
        np.testing.assert_allclose(np.exp(mixer[direction]["A_log"][0, 7]), np.arange(1, 17), rtol=1e-6)
        np.testing.assert_array_equal(mixer[direction]["D"], 1)
        np.testing.assert_array_equal(mixer[direction]["dt_proj"]["bias"], 0)
        assert np.std(mixer[direction]["x_proj"]["kernel"]) == pytest.approx(0.02, rel=0.03)
        assert np.abs(mixer[direction]["conv"]["kernel"]).max() == pytest.approx(0.5, rel=0.01)  # 1 / sqrt(4)
    assert np.std(mixer["in_proj"]["kernel"]) == pytest.approx(0.02, rel=0.03)
    # Uniform up to 1 / sqrt(inputs), divided by the square root of the depth.
    assert np.abs(mixer["out_proj"]["kernel"]).max() == pytest.approx((192 * 4) ** -0.5, rel=0.01)


def test_steps_of_the_mamba_start_are_log_uniform():
    spec = dataclasses.replace(VIDEOMAMBA_SPECS["tiny"], image_size=16, dt_bias_init="mamba")
    bias = np.asarray(starts(spec)["blocks"]["mixer"]["backward"]["dt_proj"]["bias"], np.float64)
    steps = np.log10(np.log1p(np.exp(bias)))
    assert steps.min() >= -3.001
    assert steps.max() <= -0.999
    assert steps.mean() == pytest.approx(-2, abs=0.1)


def test_drop_path_drops_the_mixer_and_keeps_the_residual_stream():
    spec = dataclasses.replace(SPECS["square"], depth=2, drop_path=0.999)  # the first block is never dropped
    module = VideoMambaClassifier(spec, CLASSES)
    clips = random_clips(spec, rows=8)
    params = jax.jit(module.init)(jax.random.key(0), clips)["params"]
    train = jax.jit(lambda p: module.apply({"params": p}, clips, train=True, rngs={"dropout": jax.random.key(1)}))
    first = jax.tree.map(lambda leaf: leaf[:1], params["encoder"]["blocks"])
    shallow = params | {"encoder": params["encoder"] | {"blocks": first}}
    shallower = VideoMambaClassifier(dataclasses.replace(spec, depth=1, drop_path=0.0), CLASSES)
    close(train(params)["logits"], jax.jit(shallower.apply)({"params": shallow}, clips)["logits"], 2e-5)


def test_weight_decay_applies_to_the_parameters_of_the_published_recipe():
    """All except 1-D parameters, biases, class token and positions; hence A_log and the convolutions, but not D."""
    params = jax.eval_shape(lambda: starts(SPECS["square"]))
    mask = {
        jax.tree_util.keystr(path, simple=True, separator="/"): yes
        for path, yes in jax.tree.leaves_with_path(decay_mask({"encoder": params}))
    }
    model = videomamba_torch.VideoMamba(SPECS["square"], 0)
    spared = {"pos_embed", "cls_token", "temporal_pos_embedding"}
    wanted = {
        key: np.full(tensor.shape, tensor.ndim > 1 and not key.endswith(".bias") and key not in spared, np.float32)
        for key, tensor in model.named_parameters()
    }
    tree = rule_tables.read(rules(SPECS["square"], 0), wanted, lambda: {"encoder": params})
    for path, leaf in jax.tree.leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert bool(leaf.all()) == bool(leaf.any()) == mask[name], name
    assert mask["encoder/blocks/mixer/forward/A_log"]
    assert not mask["encoder/blocks/mixer/forward/D"]


def test_the_tensor_axis_never_divides_the_layers():
    params = jax.eval_shape(lambda: starts(SPECS["square"]))
    places = param_shardings({"encoder": params}, make_mesh(MeshConfig(data=2, fsdp=2, tensor=2)), fsdp_min_size=64)
    for path, place in jax.tree.leaves_with_path(places["encoder"]["blocks"]):
        assert place.spec[0] is None, path


@pytest.mark.slow
def test_the_tiny_model_overfits_a_batch():
    module = build_model("videomamba_tiny", num_classes=4, num_frames=2, image_size=16, depth=2)
    clips = np.random.default_rng(3).normal(size=(8, *module.spec.clip_shape)).astype(np.float32)
    labels = np.arange(8) % 4
    params = jax.jit(module.init)(jax.random.key(0), clips)
    tx = optax.adamw(3e-3)

    @jax.jit
    def step(params, state):
        def loss(params):
            logits = module.apply(params, clips)["logits"]
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = tx.update(gradients, state, params)
        return value, optax.apply_updates(params, updates), state

    state, losses = tx.init(params), []
    for _ in range(30):
        loss, params, state = step(params, state)
        losses.append(float(loss))
    assert losses[0] == pytest.approx(np.log(4), abs=0.3)
    assert losses[-1] < 0.01


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"merge_directions": "max"}, "merge_directions='max' is unknown; choose one of sum, mean"),
        ({"dt_bias_init": "one"}, "dt_bias_init='one' is unknown; choose one of zero, mamba"),
        ({"scan": "cuda"}, "scan='cuda' is unknown; choose one of associative, chunked"),
        ({"attention": "xla"}, "attention='xla' does not apply to VideoMamba"),
    ],
)
def test_unknown_options_are_refused(overrides, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_model("videomamba_ti", num_classes=2, **overrides)
