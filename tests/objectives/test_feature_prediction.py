"""Feature prediction against `transformers`' V-JEPA 2 with the same weights, and its teacher by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr

from vidjax import config as config_lib
from vidjax import ops
from vidjax.config import MeshConfig, OptimConfig
from vidjax.errors import ConfigError
from vidjax.models.vjepa2 import VJEPA2Pretraining, VJEPA2Spec
from vidjax.objectives import FeaturePrediction
from vidjax.ops import Blocks
from vidjax.tasks import build_objective
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import init_state, state_shapes
from vidjax.training.step import make_train_step

SPEC = VJEPA2Spec(
    36, 3, 2, 144, 24, 2, 2, 96, num_mask_tokens=3, pooler_heads=2, patch_size=4, num_frames=4, image_size=24
)
MASKS = (Blocks(4, 0.1, clips=4), Blocks(2, 0.5, clips=4))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def make_objective(spec=SPEC, **options):
    return FeaturePrediction(VJEPA2Pretraining(spec), MEAN, STD, **{"masks": MASKS, "teacher_momentum": 0.9} | options)


def make_batch(rows=2, seed=0, spec=SPEC):
    video = np.random.default_rng(seed).integers(0, 256, (rows, *spec.clip_shape), dtype=np.uint8)
    return {"video": video, "valid": np.ones(rows, bool)}


def rngs(seed=0):
    return {name: jax.random.key(seed) for name in ("mask", "augment", "dropout")}


def begin(objective, seed=0):
    """Parameters, none zero or small, and a teacher with others."""
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {}))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.2).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def peers():
    """Two networks of `transformers`, the trained one and that of the teacher, as a function of nothing."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch's V-JEPA 2 (extra: test)")
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    import vjepa2_peer

    student, teacher = (vjepa2_peer.peer(transformers.VJEPA2Model, SPEC) for _ in range(2))
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter)).copy_(parameter.float())
        tokens = student.predictor.embeddings.mask_tokens
        tokens[1] = tokens[0]  # its predictor takes the second mask token, and training the first
    return vjepa2_peer, student, teacher


def test_the_loss_and_its_gradients_match_transformers(peers):
    import torch

    vjepa2_peer, student, teacher = peers
    objective, batch = make_objective(), make_batch(3)
    trees = [vjepa2_peer.as_tree(model, objective.module, None) for model in (student, teacher)]
    clips = (batch["video"] / 255 - np.array(MEAN)) / np.array(STD)
    features = teacher(vjepa2_peer.pixels_of(clips), skip_predictor=True).last_hidden_state.detach()
    losses = []
    for number in range(2):
        seen, hidden = map(np.asarray, objective.draw_masks(rngs(), batch, number))
        predicted = vjepa2_peer.predict(student, vjepa2_peer.encode(student, clips, seen), seen, hidden)
        index = torch.from_numpy(hidden.astype(np.int64))[:, :, None].expand(-1, -1, SPEC.width)
        targets = torch.nn.functional.layer_norm(torch.gather(features, 1, index), (SPEC.width,))
        losses.append((predicted - targets).abs().mean())
    expected = sum(losses) / 2
    expected.backward()

    def loss(params):
        return objective.loss(params, {"teacher": {"encoder": trees[1]["encoder"]}}, batch, rngs(), True)

    (found, (metrics, _)), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(trees[0])
    np.testing.assert_allclose(found, expected.item(), rtol=2e-5)
    np.testing.assert_allclose(
        [metrics[f"loss_mask_{n}"] for n in range(2)], [each.item() for each in losses], rtol=2e-5
    )
    wanted = vjepa2_peer.as_tree(
        student, objective.module, None, lambda p: torch.zeros_like(p) if p.grad is None else p.grad
    )
    wanted["predictor"]["mask_token"] = wanted["predictor"]["mask_token"][[1, 0, 2]]
    trees_close(grads, wanted, 1e-4)


def trees_close(ours, theirs, limit):
    """A key's bias cannot change the softmax: its gradient is rounding, compared at the scale of the queries'."""
    leaves = {keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(theirs)}
    assert len(leaves) == len(jax.tree.leaves(ours))
    for path, leaf in jax.tree.leaves_with_path(ours):
        name = keystr(path)
        scale = np.abs(leaves[name.replace("k_bias", "q_bias")]).max()
        np.testing.assert_allclose(leaf, leaves[name], rtol=0, atol=limit * scale, err_msg=name)


def test_the_teacher_starts_as_a_copy_and_moves_by_one_minus_the_momentum():
    objective = make_objective()
    params, extra = jax.jit(lambda: objective.init(jax.random.key(0), {}))()
    jax.tree.map(np.testing.assert_array_equal, extra["teacher"]["encoder"], params["encoder"])
    params, extra = begin(objective)
    after = jax.jit(lambda: objective.after_update(params, extra, jnp.int32(3)))()
    by_hand = jax.tree.map(lambda t, s: 0.9 * t + 0.1 * s, extra["teacher"]["encoder"], params["encoder"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after["teacher"]["encoder"], by_hand
    )


class Setup:
    """A state on a mesh and its step, without warm-up."""

    def __init__(self, mesh=None, devices=None, accumulate=1):
        self.objective = make_objective()
        # A key's bias has no true gradient: the larger eps keeps Adam from amplifying its rounding errors.
        optim = OptimConfig(base_lr=0.01, min_lr=0.001, reference_batch=8, eps=1e-4, decayed="matrices")
        self.mesh = mesh_lib.make_mesh(mesh or MeshConfig(), devices or jax.devices()[:1])
        optimizer = build_optimizer(optim, RunLength(8), global_batch=8)
        config = config_lib.Config(optim=optim, mesh=MeshConfig(fsdp_min_size=1))
        shapes = state_shapes(config, self.objective, optimizer.tx, self.mesh)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
        init = jax.jit(lambda: init_state(self.objective, optimizer.tx, config.data, 0.0, 0), out_shardings=shardings)
        self.state = init()
        self.step = make_train_step(self.objective, optimizer, seed=0, accumulate=accumulate, shapes=shapes)

    def run(self, steps):
        """The losses of some steps, and the state before them and after each."""
        losses, states = [], [jax.device_get(self.state)]
        for number in range(steps):
            with jax.set_mesh(self.mesh):
                placed = mesh_lib.global_batch(make_batch(8, number), mesh_lib.batch_sharding(self.mesh))
                self.state, metrics = self.step(self.state, placed)
            losses.append(float(metrics["train/loss"]))
            states.append(jax.device_get(self.state))
        return losses, states


@pytest.fixture(scope="module")
def alone():
    """Two steps on one device: losses and states."""
    return Setup().run(2)


def test_after_a_step_the_teacher_is_the_average_of_the_encoders(alone):
    start, first, last = alone[1]
    before = start.extra["teacher"]["encoder"]
    by_hand = jax.tree.map(
        lambda a, b, c: 0.9 * (0.9 * a + 0.1 * b) + 0.1 * c, before, first.params["encoder"], last.params["encoder"]
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), last.extra["teacher"]["encoder"], by_hand
    )
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, by_hand)
    assert max(jax.tree.leaves(moved)) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"mesh": MeshConfig(data=2, fsdp=2, tensor=2), "devices": jax.devices()}, {"accumulate": 2}],
    ids=["mesh of all three axes", "micro-batches"],
)
def test_any_mesh_and_micro_batches_train_like_one_device(alone, options):
    losses, (*_, state) = alone
    found_losses, (*_, found) = Setup(**options).run(2)
    np.testing.assert_allclose(found_losses, losses, rtol=2e-5)
    for ours, theirs in ((found.params, state.params), (found.extra["teacher"], state.extra["teacher"])):
        leaves = zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True)
        for (path, a), b in leaves:  # sums in a different order, through Adam
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 * max(np.abs(b).max(), 0.02), err_msg=keystr(path))


def test_padding_rows_have_no_effect():
    objective = make_objective()
    params, extra = begin(objective)
    batch = make_batch(4)
    padded = {name: np.concatenate([value, value[:1]]) for name, value in batch.items()}
    padded["valid"] = np.array([True] * 4 + [False])
    loss = jax.jit(lambda batch: objective.loss(params, extra, batch, rngs(), True)[:2])
    (one, (metrics, _)), (other, (others, _)) = loss(batch), loss(padded)
    np.testing.assert_allclose(other, one, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), metrics, others)


def test_cubes_from_the_loader_give_the_same_loss():
    objective = make_objective()
    params, extra = begin(objective)
    batch = make_batch()
    cubes = np.asarray(ops.patchify(batch["video"], SPEC.tubelet_size, SPEC.patch_size))
    loss = jax.jit(lambda batch: objective.loss(params, extra, batch, rngs(), True)[0])
    np.testing.assert_allclose(loss(batch | {"video": cubes}), loss(batch), rtol=1e-6)


def test_each_row_and_step_draws_new_masks():
    objective, batch = make_objective(masks=(MASKS[0], MASKS[0])), make_batch(6)
    drawn = [np.asarray(objective.draw_masks(rngs(seed), batch, number)[0]) for seed in (0, 1) for number in (0, 1)]
    assert len({row.tobytes() for mask in drawn for row in mask}) == 4 * 6


def test_without_training_nothing_is_random_except_masks():
    dropping = make_objective(dataclasses.replace(SPEC, drop_path=0.9))
    params, extra = begin(dropping)

    def loss(objective, rngs):
        return jax.jit(lambda: objective.loss(params, extra, make_batch(), rngs, False)[0])()

    masks = {"mask": jax.random.key(0)}
    assert loss(dropping, masks) == loss(make_objective(), masks)


def test_the_deviation_of_the_targets_distinguishes_a_collapsed_teacher():
    """A teacher whose features depend on no cube has the same target everywhere; the metric is NumPy's deviation."""
    objective, batch = make_objective(masks=MASKS[:1]), make_batch(3)
    params, extra = begin(objective)
    deviation = jax.jit(lambda extra: objective.loss(params, extra, batch, rngs(), True)[1][0]["target_std"])
    features = np.asarray(
        jax.jit(lambda: objective._teach(extra["teacher"]["encoder"], ops.patchify(batch["video"], 2, 4)))()
    )
    targets = np.take_along_axis(features, np.asarray(objective.draw_masks(rngs(), batch, 0)[1])[:, :, None], axis=1)
    targets = (targets - targets.mean(axis=2, keepdims=True)) / targets.std(axis=2, keepdims=True)
    np.testing.assert_allclose(
        deviation(extra), np.sqrt(targets.reshape(-1, SPEC.width).var(axis=0).mean()), rtol=1e-3
    )  # the norm's epsilon
    encoder = extra["teacher"]["encoder"]
    constant = encoder | {"norm": encoder["norm"] | {"scale": np.zeros_like(encoder["norm"]["scale"])}}
    np.testing.assert_allclose(deviation({"teacher": {"encoder": constant}}), 0.0, atol=1e-3)


def test_flops_count_each_mask_thrice_and_the_teacher_once():
    objective = make_objective()
    n, d, p = 2 * 6 * 6, 36, 24

    def blocks(tokens, width, mlp, depth):
        return depth * (tokens * (4 * width * width + 2 * width * mlp) + 2 * tokens * tokens * width)

    def encoder(tokens):
        return tokens * 2 * 4 * 4 * 3 * d + blocks(tokens, d, 144, 3)

    total = 2 * encoder(n)
    for seen, predicted in objective.num_tokens:
        total += 6 * (encoder(seen) + seen * d * p + blocks(seen + predicted, p, 96, 2) + predicted * p * d)
    assert objective.train_flops_per_clip == total


def make_config(**changes):
    keys = {
        "task": "feature_prediction", "model.name": "vjepa2_tiny", "data.num_frames": 8, "data.image_size": 64,
    }  # fmt: skip
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model__name": "videomae_tiny"}, "model.name='videomae_tiny' has none; use a V-JEPA 2, such as vjepa2_large"),
        ({"task": "masked_autoencoding"}, "predicts features; use a VideoMAE, or task=feature_prediction"),
        ({"jepa__blocks": (8,)}, r"jepa.blocks=\(8,\) and jepa.block_area=\(0.15, 0.7\) describe the same masks"),
        ({"jepa__blocks": (), "jepa__block_area": ()}, "same length, at least 1"),
        ({"data__image_size": 16}, "leave nothing to predict on the grid 4x2x2"),
        ({"jepa__block_area": (0.15, 1.0), "jepa__block_aspect": (1.0, 1.0)}, "leave nothing to see on the grid 4x8x8"),
        (
            {"jepa__mask": "frame", "jepa__mask_ratio": 0.2},
            "jepa.mask_ratio=0.2 hides 0 of the 4 units of a frame mask",
        ),
        ({"jepa__block_area": (0.15, 1.2)}, "a mask of 2 blocks of 1.2 of the frame's area cannot be drawn"),
    ],
)
def test_masks_and_models_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_objective(make_config(**changes), 4)


def test_the_objective_of_a_configuration_has_its_settings():
    jepa = {"blocks": (3,), "block_area": (0.2,), "block_aspect": (0.5, 2.0), "mask_group": 6, "teacher_momentum": 0.5}
    objective = build_objective(make_config(**{f"jepa__{key}": value for key, value in jepa.items()}), 4)
    assert objective.masks == (Blocks(3, 0.2, (0.5, 2.0), 6),)
    assert objective.teacher_momentum == 0.5
    assert build_objective(make_config(), 4).masks == (Blocks(8, 0.15), Blocks(2, 0.7))


def test_whole_frames_are_predicted_from_the_others():
    objective = build_objective(make_config(jepa__mask="frame", jepa__mask_ratio=0.5), 4)
    assert objective.num_tokens == ((2 * 8 * 8, 2 * 8 * 8),)
    batch = make_batch(16)
    seen, predicted = (np.asarray(index) // (8 * 8) for index in objective.draw_masks(rngs(), batch, 0))
    for slices in zip(seen, predicted, strict=True):
        one, other = (set(row.tolist()) for row in slices)
        assert one | other == {0, 1, 2, 3}
        assert not one & other
    assert len({tuple(row) for row in seen.tolist()}) > 1  # clips have masks of their own
