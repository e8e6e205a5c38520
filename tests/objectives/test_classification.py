"""Classification: losses by hand, padding rows, randomness, and learning."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.utils.class_weight import compute_class_weight

from vidjax.config import Config, DataConfig, ModelConfig, OptimConfig
from vidjax.errors import ConfigError, DataError
from vidjax.models.videomae import VideoMAEClassifier, VideoMAESpec
from vidjax.objectives import Classification
from vidjax.objectives.classification import balanced_weights, in_top_k, smooth, soft_cross_entropy
from vidjax.objectives.mixing import Mixing
from vidjax.objectives.normalize import fit_frames, normalize
from vidjax.tasks import build_objective

SPEC = VideoMAESpec(16, 2, 2, 32, 8, 1, 2, 16, patch_size=4, num_frames=4, image_size=8)
PIXELS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
RNGS = {name: jax.random.key(number) for number, name in enumerate(("mask", "dropout", "augment"))}


def random_batch(rows=6, classes=5):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (rows, *SPEC.clip_shape), dtype=np.uint8)
    batch = {"video": video, "label": rng.integers(0, classes, rows), "valid": np.ones(rows, bool)}
    return jax.tree.map(jnp.asarray, batch)


def test_pixels_are_normalised_per_channel():
    pixels = jnp.array([[0, 128, 255]], jnp.uint8)
    expected = [(0 - 0.5) / 0.2, (128 / 255 - 0.4) / 0.3, (1 - 0.3) / 0.4]
    np.testing.assert_allclose(normalize(pixels, **PIXELS)[0], expected, rtol=1e-6)


def test_soft_cross_entropy_and_smoothing_by_hand():
    logits = jnp.array([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = smooth(jnp.eye(3)[jnp.array([0, 1])], 0.3)
    np.testing.assert_allclose(targets, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], atol=1e-6)
    expected = -(targets * np.log(probabilities)).sum(axis=1)
    np.testing.assert_allclose(soft_cross_entropy(logits, targets), expected, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_top_k_matches_a_stable_sort_also_with_ties(k):
    rng = np.random.default_rng(1)
    logits = rng.integers(0, 4, (200, 6)).astype(np.float32)
    label = rng.integers(0, 6, 200)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(
        jax.jit(in_top_k, static_argnums=2)(logits, label, k), (best == label[:, None]).any(1)
    )


def test_padding_rows_count_neither_in_the_loss_nor_in_the_metrics():
    objective = Classification(VideoMAEClassifier(SPEC, 5), **PIXELS)
    params, extra = jax.jit(lambda key: objective.init(key, {}))(jax.random.key(0))
    params["head"]["kernel"] *= 1e4  # away from equal logits
    loss = jax.jit(lambda batch: objective.loss(params, extra, batch, {}, False))
    batch = random_batch(rows=6)
    padded = batch | {"valid": np.array([True] * 4 + [False] * 2)}
    padded["video"] = np.concatenate([batch["video"][:4], np.zeros_like(batch["video"][:2])])
    alone = {key: value[:4] for key, value in batch.items()}
    for ours, expected in zip(jax.tree.leaves(loss(padded)), jax.tree.leaves(loss(alone)), strict=True):
        assert float(ours) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss(batch | {"valid": np.zeros(6, bool)})[0]) == 0.0


def test_top5_is_reported_only_with_more_than_five_classes():
    for classes, names in ((2, {"top1"}), (5, {"top1"}), (6, {"top1", "top5"})):
        objective = Classification(VideoMAEClassifier(SPEC, classes), **PIXELS)
        params, extra = objective.init(jax.random.key(0), {})
        shapes = jax.eval_shape(lambda: objective.loss(params, extra, random_batch(classes=2), {}, False))  # noqa: B023 - called at once
        assert set(shapes[1][0]) == names


def test_training_randomness_comes_only_from_the_given_keys():
    module = VideoMAEClassifier(VideoMAESpec(**vars(SPEC) | {"drop_path": 0.3, "head_dropout": 0.2}), 5)
    objective = Classification(module, **PIXELS, label_smoothing=0.1, erase=0.5, mixing=Mixing(0.8, 1.0, 0.9))
    params, extra = jax.jit(lambda key: objective.init(key, {}))(jax.random.key(0))
    params["head"]["kernel"] *= 1e4
    loss = jax.jit(lambda rngs: objective.loss(params, extra, random_batch(), rngs, True)[0])
    assert float(loss(RNGS)) == float(loss(RNGS))
    assert float(loss(RNGS)) != float(loss(RNGS | {"augment": jax.random.key(9)}))
    assert float(loss(RNGS)) != float(loss(RNGS | {"dropout": jax.random.key(9)}))


SEEN = []


@dataclasses.dataclass(frozen=True)
class Fixed(Classification):
    """Records the clips that it is given, and returns the same logits for any clip."""

    def logits(self, params, clips, rngs, train):
        SEEN.append(np.asarray(clips, np.float64))
        return params


@pytest.mark.parametrize(("group", "rows_per_draw"), [(4, 4), (0, 12)])
def test_each_group_of_rows_is_mixed_with_its_own_draw(group, rows_per_draw):
    """As VideoMAE mixes the clips of each GPU; the draws are read off the clips and must explain the targets."""
    mixing = Mixing(0.8, 1.0, group=group)
    objective = Fixed(VideoMAEClassifier(SPEC, 5), mean=(0,) * 3, std=(1,) * 3, label_smoothing=0.1, mixing=mixing)
    logits = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    batch = random_batch(rows=12)
    batch["video"] = jnp.broadcast_to(
        jnp.arange(12, dtype=jnp.uint8).reshape(-1, 1, 1, 1, 1) * 20, batch["video"].shape
    )
    strengths = set()
    for seed in range(6):
        loss = objective.loss(logits, {}, batch, RNGS | {"augment": jax.random.key(seed)}, True)[0]
        clips, expected = SEEN.pop() * 255 / 20, 0.0
        for first in range(0, 12, rows_per_draw):
            last = first + rows_per_draw - 1
            kept = (clips[first, 0, :, :, 0] - last) / (first - last)  # for the first row, whose partner is the last
            strengths.add(round(kept.sum(), 4))
            for row in range(first, last + 1):
                other = first + last - row
                np.testing.assert_allclose(
                    clips[row, ..., 0], np.broadcast_to(kept * row + (1 - kept) * other, (4, 8, 8)), atol=1e-4
                )
                hot = np.eye(5) * 0.9 + 0.1 / 5  # official: on and off values of one_hot
                target = kept.mean() * hot[batch["label"][row]] + (1 - kept.mean()) * hot[batch["label"][other]]
                expected -= (target * log_probabilities[row]).sum() / 12
        assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert len(strengths) >= 6 * 12 / rows_per_draw - 3  # boxes may be empty, or cover the frame


def test_a_tiny_classifier_overfits_one_batch():
    objective = Classification(VideoMAEClassifier(SPEC, 5), **PIXELS)
    params, extra = jax.jit(lambda key: objective.init(key, {}))(jax.random.key(0))
    batch, tx = random_batch(rows=8), optax.adam(3e-3)

    @jax.jit
    def step(params, state):
        value_and_grad = jax.value_and_grad(lambda p: objective.loss(p, extra, batch, RNGS, True), has_aux=True)
        (loss, (metrics, _)), grads = value_and_grad(params)
        updates, state = tx.update(grads, state)
        return optax.apply_updates(params, updates), state, loss, metrics["top1"]

    state = tx.init(params)
    for _ in range(150):
        params, state, loss, top1 = step(params, state)
    assert float(loss) < 0.05
    assert float(top1) == 1.0
    scores = np.asarray(jax.jit(objective.scores)(params, batch["video"]))
    np.testing.assert_array_equal(scores.argmax(axis=1), batch["label"])


def test_the_configuration_reaches_objective_and_module():
    config = Config(
        task="classification",
        model=ModelConfig(
            name="videomae_tiny", drop_path=0.2, head_dropout=0.3, dtype="float32", remat="dots", unroll=2
        ),
        data=DataConfig(num_frames=4, image_size=32, erase=0.25, mixup=0.8, cutmix=1.0, mix_prob=0.7, mix_group=12),
        optim=OptimConfig(label_smoothing=0.1),
    )
    objective = build_objective(config, 7)
    spec = objective.module.spec
    assert objective.module.num_classes == 7
    assert (spec.drop_path, spec.head_dropout, spec.dtype, spec.remat, spec.unroll) == (0.2, 0.3, "float32", "dots", 2)
    assert (spec.num_frames, spec.image_size, spec.attention) == (4, 32, None)
    assert objective.erase == 0.25
    assert objective.mixing == Mixing(mixup=0.8, cutmix=1.0, prob=0.7, switch_prob=0.5, group=12)
    assert objective.label_smoothing == 0.1


def test_a_clip_that_cubes_do_not_tile_is_refused_before_any_work():
    config = Config(task="classification", data=DataConfig(num_frames=15))
    with pytest.raises(ConfigError, match=r"use data\.num_frames=14 or 16"):
        build_objective(config, 7)


def test_balanced_weights_match_scikit_learn_and_weight_the_loss():
    labels = np.repeat([0, 1, 2], [10, 4, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = balanced_weights(np.bincount(labels).tolist())
    np.testing.assert_allclose(weights, expected)
    plain = Classification(VideoMAEClassifier(SPEC, 3), **PIXELS)
    weighted = dataclasses.replace(plain, class_weights=weights)
    params, _ = jax.jit(lambda key: plain.init(key, {}))(jax.random.key(0))
    params["head"]["kernel"] *= 1e3
    batch = random_batch(rows=5, classes=3)
    logits = np.asarray(jax.jit(plain.scores)(params, batch["video"]), np.float64)
    own = logits[np.arange(5), batch["label"]] - np.log(np.exp(logits).sum(axis=1))
    loss = jax.jit(lambda rngs, train: weighted.loss(params, {}, batch, rngs, train)[0], static_argnums=1)
    assert float(loss(RNGS, True)) == pytest.approx(-np.mean(np.asarray(weights)[batch["label"]] * own), rel=1e-4)
    assert float(loss({}, False)) == pytest.approx(-np.mean(own), rel=1e-4)


def test_balanced_weights_refuse_a_class_without_videos():
    with pytest.raises(DataError, match=r"class 'bottom' has no training video \(1 of 3 classes have none\)"):
        balanced_weights([3, 0, 2], ("top", "bottom", "left"))


@pytest.mark.parametrize(("remainder", "frames"), [("drop", 6), ("repeat_last", 8)])
def test_seven_frames_fill_cubes_of_two(remainder, frames):
    model = ModelConfig(name="videomae_tiny", dtype="float32")
    data = DataConfig(num_frames=7, image_size=16, tubelet_remainder=remainder)
    objective = build_objective(Config(task="classification", model=model, data=data), 3)
    assert objective.module.spec.num_frames == frames
    params, _ = jax.jit(lambda key: objective.init(key, {}))(jax.random.key(0))
    video = np.random.default_rng(0).integers(0, 256, (2, 7, 16, 16, 3), dtype=np.uint8)
    fitted = fit_frames(video, objective.module.spec)
    by_hand = video[:, :6] if remainder == "drop" else np.concatenate([video, video[:, 6:]], axis=1)
    np.testing.assert_array_equal(fitted, by_hand)
    scores = jax.jit(objective.scores)
    np.testing.assert_allclose(scores(params, video), scores(params, by_hand), rtol=1e-5, atol=1e-6)


def test_seven_frames_are_refused_by_default():
    data = DataConfig(num_frames=7, image_size=16)
    with pytest.raises(ConfigError, match=r"a clip of 7 frames is not a multiple of tubelet_size=2"):
        build_objective(Config(task="classification", model=ModelConfig(name="videomae_tiny"), data=data), 3)
