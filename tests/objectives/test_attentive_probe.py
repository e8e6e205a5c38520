"""task=attentive_probe: each head of the grid trains as alone, and the backbone is only evaluated."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.errors import ConfigError
from vidjax.models.outputs import outputs
from vidjax.models.param_paths import flatten, nest, split
from vidjax.models.pooling import PooledClassifier, all_tokens
from vidjax.models.probe_grid import ProbeGrid, pick
from vidjax.objectives import AttentiveProbe
from vidjax.objectives.base import HeadSettings
from vidjax.tasks import build_objective
from vidjax.training.mesh import batch_sharding, global_batch, make_mesh
from vidjax.training.optim import RunLength
from vidjax.training.run_step import build_step
from vidjax.training.state import init_state

CLASSES, ROWS, STEPS = 3, 8, 4
RATES, DECAYS = (1e-2, 1e-3), (0.01, 0.8)
KEYS = {
    "task": "attentive_probe", "model.name": "videomae_tiny", "model.dtype": "float32", "model.pooling": "attentive4",
    "model.pooling_heads": 4, "model.drop_path": 0.5, "model.spec.patch_size": 8, "data.num_frames": 2,
    "data.image_size": 16, "data.global_batch": ROWS, "train.accumulate": 1,
    "optim.base_lr": 1e-3, "optim.min_lr": 0.0, "optim.reference_batch": ROWS, "optim.decayed": "all",
    "optim.eps": 1e-4,  # otherwise Adam turns the rounding of gradients near 0 into whole steps
    "optim.head_learning_rates": RATES, "optim.head_weight_decays": DECAYS,
}  # fmt: skip


def config_of(**changes):
    config = config_lib.defaults()
    config.update_from_flattened_dict(KEYS | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


def batch_of(step, rows=ROWS):
    rng = np.random.default_rng(step)
    return {
        "video": rng.integers(0, 256, (rows, 2, 16, 16, 3), dtype=np.uint8),
        "label": rng.integers(0, CLASSES, rows).astype(np.int32),
        "valid": np.arange(rows) < rows - 1,  # one row is padding
    }


class Run(NamedTuple):
    """Some steps of a configuration: the states before each and after the last, and the metrics of each."""

    objective: AttentiveProbe
    states: list
    metrics: list

    def picked(self, number, step=STEPS):
        """The flat parameters of the classifier with one head, before a step."""
        return flatten(pick(self.states[step].params, number))


def trained(config, *, devices=1, poison=None):
    """Train; `poison` is the number of a head whose last bias is made NaN first."""
    objective, mesh = build_objective(config, CLASSES), make_mesh(config.mesh, jax.devices()[:devices])
    states, metrics = [], []
    with jax.set_mesh(mesh):
        step = build_step(config, objective, RunLength(STEPS), mesh)
        places = jax.tree.map(lambda leaf: leaf.sharding, step.shapes)
        state = jax.jit(lambda: init_state(objective, step.optimizer.tx, config.data, 0.0, 0), out_shardings=places)()
        if poison is not None:
            flat = flatten(state.params)
            flat["heads/classes/bias"] = flat["heads/classes/bias"].at[poison].set(jnp.nan)
            state = jax.device_put(state._replace(params=nest(flat)), places)
        for number in range(STEPS):
            states.append(jax.device_get(state))
            state, found = step.call(state, global_batch(batch_of(number), batch_sharding(mesh)))
            metrics.append({name: float(value) for name, value in found.items() if value.ndim == 0})
    return Run(objective, [*states, jax.device_get(state)], metrics)


@pytest.fixture(scope="module")
def grid():
    return trained(config_of())


def test_the_grid_has_a_head_for_each_pair_and_all_start_alike(grid):
    assert grid.objective.heads == tuple(HeadSettings(rate, decay) for rate in RATES for decay in DECAYS)
    assert isinstance(grid.objective.module, ProbeGrid)
    for path, leaf in flatten(grid.states[0].params["heads"]).items():
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], (4, *leaf.shape[1:])), path)


@pytest.mark.parametrize("number", [0, 3, *(pytest.param(slow, marks=pytest.mark.slow) for slow in (1, 2))])
def test_each_head_of_the_grid_trains_as_it_would_alone(grid, number):
    """The loss of a head is computed in NumPy from the logits of the classifier that it is picked as."""
    rate, decay = grid.objective.heads[number]
    alone = trained(config_of(optim__head_learning_rates=(rate,), optim__head_weight_decays=(decay,)))
    for step in range(STEPS):
        batch = batch_of(step)
        logits = np.float64(grid.objective.one.scores(pick(grid.states[step].params, number), batch["video"]))
        own = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(ROWS), batch["label"]]
        assert alone.metrics[step]["train/loss"] == pytest.approx(own[batch["valid"]].mean(), rel=1e-5)
    for path, leaf in alone.picked(0).items():
        np.testing.assert_allclose(grid.picked(number)[path], leaf, rtol=1e-4, atol=1e-3 * rate, err_msg=path)


def test_rates_and_decays_are_those_of_pytorchs_adamw(grid):
    """One step of the last layer and of the query, on the gradients of the picked classifier."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch's AdamW (extra: test)")
    batch = batch_of(0)

    def loss(params):
        own = -jax.nn.log_softmax(grid.objective.one.scores(params, batch["video"]))
        return own[np.arange(ROWS), batch["label"]][batch["valid"]].mean()

    grads = flatten(jax.jit(jax.grad(loss))(pick(grid.states[0].params, 0)))
    for number, (rate, decay) in enumerate(grid.objective.heads):
        before, after = grid.picked(number, 0), grid.picked(number, 1)
        for path in ("classes/kernel", "classes/bias", "pooler/query_token", "pooler/norm1/scale"):
            parameter = torch.nn.Parameter(torch.from_numpy(np.array(before[path])))
            parameter.grad = torch.from_numpy(np.array(grads[path]))
            torch.optim.AdamW([parameter], lr=rate, weight_decay=decay, eps=1e-4).step()
            np.testing.assert_allclose(after[path], parameter.detach().numpy(), rtol=1e-5, atol=1e-3 * rate)


def test_the_backbone_has_no_gradient_no_moments_and_does_not_change(grid):
    objective, before, after = grid.objective, grid.states[0], grid.states[-1]
    heads, backbone = split(before.params, objective.frozen)
    assert set(heads) == {"heads"}
    assert set(backbone) == {"encoder", "fc_norm"}
    jax.tree.map(np.testing.assert_array_equal, split(after.params, objective.frozen)[1], backbone)
    moments = sum(leaf.size for leaf in jax.tree.leaves(after.opt_state) if leaf.ndim)
    assert moments == 2 * sum(leaf.size for leaf in jax.tree.leaves(heads))
    batch = {key: jnp.asarray(value) for key, value in batch_of(0).items()}
    rngs = {"augment": jax.random.key(0), "dropout": jax.random.key(1)}
    grads = jax.grad(lambda params: objective.loss(params, {}, batch, rngs, True)[0])(before.params)
    assert all(not leaf.any() for leaf in jax.tree.leaves(split(grads, objective.frozen)[1]))
    assert all(
        leaf.any() for path, leaf in flatten(grads["heads"]).items() if not path.endswith(("k_bias", "key/bias"))
    )


def test_the_backbone_runs_as_in_evaluation_and_its_backward_pass_costs_nothing(grid):
    """Drop path of 0.5 changes nothing, and the FLOPs are one forward pass of it and three of each head."""
    objective, before = grid.objective, grid.states[0]
    clips = objective.normalized(jnp.asarray(batch_of(0)["video"]))
    out = outputs(objective.module, before.params, clips, train=True)
    plain = outputs(objective.module.backbone, split(before.params, objective.frozen)[1], clips)
    np.testing.assert_allclose(all_tokens(out), all_tokens(plain), atol=1e-6)
    spec, one = objective.module.spec, objective.one.module
    assert isinstance(one, PooledClassifier)
    heads = one.macs - spec.classifier_macs(0)
    assert objective.train_flops_per_clip == 2 * spec.classifier_macs(0) + 6 * 4 * heads


def test_a_grid_of_segments_scores_as_the_classifier_that_reads_them_all():
    """Costs of two forward passes of the backbone, whose positions are those of two frames, and one of a head."""
    objective = build_objective(config_of(data__segments=2, data__num_frames=4), CLASSES)
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (2, 4, 16, 16, 3), dtype=np.uint8)
    params = jax.jit(lambda: objective.init(jax.random.key(0), {})[0])()
    params["heads"] = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32), params["heads"])
    every = objective.all_logits(params, objective.normalized(clips))
    for number in range(4):
        own = objective.one.scores(pick(params, number), clips)
        np.testing.assert_allclose(every[number], own, atol=1e-5)
    assert np.abs(every - objective.all_logits(params, objective.normalized(clips[:, ::-1]))).max() > 1e-3
    [part] = objective.parts
    assert (part.spec.num_frames, objective.module.spec.num_frames) == (2, 4)
    backbone, single = part.spec.classifier_macs(0), build_objective(config_of(), CLASSES)
    head = objective.one.module.macs - 2 * backbone
    assert objective.train_flops_per_clip == 2 * 2 * backbone + 6 * 4 * head
    assert head > single.one.module.macs - backbone  # of twice as many tokens


def test_a_head_that_is_not_finite_stops_no_other(grid):
    ruined = trained(config_of(), poison=1)
    assert all(numbers["train/nonfinite"] == 0 and numbers["train/diverged"] == 1 for numbers in ruined.metrics)
    assert np.isfinite([numbers["train/loss"] for numbers in ruined.metrics]).all()
    for number in (0, 2, 3):
        jax.tree.map(np.testing.assert_array_equal, ruined.picked(number), grid.picked(number))


@pytest.mark.parametrize(
    ("devices", "changes"),
    [
        (8, {"mesh__fsdp": 4, "mesh__fsdp_min_size": 64}),
        pytest.param(8, {"mesh__tensor": 2}, marks=pytest.mark.slow),
        pytest.param(1, {"train__accumulate": 2}, marks=pytest.mark.slow),
    ],
)
def test_meshes_and_micro_batches_train_the_same_heads(grid, devices, changes):
    divided = trained(config_of(**changes), devices=devices)
    for ours, theirs in zip(divided.metrics, grid.metrics, strict=True):
        assert ours["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-4)
    for number, (rate, _) in enumerate(grid.objective.heads):
        for path, leaf in divided.picked(number).items():  # within a hundredth of Adam's step, as sums are reordered
            np.testing.assert_allclose(leaf, grid.picked(number)[path], rtol=1e-4, atol=1e-2 * rate, err_msg=path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optim__head_learning_rates": ()}, r"optim.head_learning_rates is empty, so there is no head to train"),
        ({"optim__head_weight_decays": ()}, r"optim.head_weight_decays is empty, so there is no head to train"),
        ({"optim__head_weight_decays": (0.1, -1.0)}, r"optim.head_weight_decays has -1, which must be at least 0"),
        ({"optim__base_lr": 0.0}, r"optim.base_lr=0 leaves the heads no schedule"),
        ({"optim__clip_norm": 1.0}, r"optim.clip_norm=1.0 does not apply to the independent heads .*; set it to 0.0"),
        ({"model__lora__rank": 4}, r"model.lora.rank=4 is for other tasks; .* use 0"),
        ({"model__head_widths": (8,)}, r"model.head_widths is for other tasks"),
        ({"model__pooling": ""}, r"task=attentive_probe needs model.pooling=attentive or attentive4; .*''"),
        ({"model__pooling_heads": 5}, r"tokens of width 96, .* use model.pooling_heads=4 or 6"),
    ],
)
def test_a_grid_that_cannot_be_trained_is_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_objective(config_of(**changes), CLASSES)
