"""Self-distillation against a second implementation in PyTorch, over any mesh and in micro-batches."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr

from vidjax import config as config_lib
from vidjax.config import DistillConfig, MeshConfig, OptimConfig
from vidjax.errors import ConfigError
from vidjax.models.projection import ProjectedTimeSformer
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.objectives import Objective, SelfDistillation
from vidjax.tasks import build_objective
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import init_state, state_shapes
from vidjax.training.step import make_train_step

SPEC = TimeSformerSpec(24, 2, 4, 40, patch_size=4, num_frames=4, image_size=12)
DISTILL = DistillConfig(prototypes=33, hidden_dim=20, bottleneck_dim=10, teacher_temp=0.06, teacher_momentum=0.8)
VIEWS = {  # slow and fast ones among them
    "view_0": (2, 12, 12, 3),
    "view_1": (4, 12, 12, 3),
    "view_2": (2, 8, 8, 3),
    "view_3": (4, 8, 8, 3),
    "view_4": (2, 8, 8, 3),
}
# Every shape of view is one more encoder to compile: tests that do not depend on their number use two.
FEW = {"view_0": (2, 12, 12, 3), "view_1": (2, 12, 12, 3), "view_2": (4, 8, 8, 3)}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
TOTAL = 8


def make_objective(spec=SPEC, views=FEW, **changes):
    module = ProjectedTimeSformer(spec, DISTILL.prototypes, DISTILL.hidden_dim, DISTILL.bottleneck_dim)
    options = {
        "student_temp": DISTILL.student_temp,
        "teacher_temp": DISTILL.teacher_temp,
        "teacher_temp_start": DISTILL.teacher_temp,
        "teacher_momentum": DISTILL.teacher_momentum,
        "center_momentum": DISTILL.center_momentum,
    }
    return SelfDistillation(module, views, MEAN, STD, TOTAL, **options | changes)


def make_batch(rows=3, seed=0, views=FEW):
    rng = np.random.default_rng(seed)
    pixels = {name: rng.integers(0, 256, (rows, *shape), dtype=np.uint8) for name, shape in views.items()}
    return pixels | {"valid": np.ones(rows, bool)}


def begin(objective):
    """Random parameters and state."""
    return jax.jit(lambda: objective.init(jax.random.key(0), {}))()


def rngs(seed=0):
    return {name: jax.random.key(seed) for name in ("mask", "augment", "dropout")}


@dataclasses.dataclass(frozen=True)
class Shapes:
    module: ProjectedTimeSformer
    params: dict


def trees_close(ours, theirs, limit):
    """Largest difference relative to the leaf's largest entry or, for biases of queries and keys, to their kernel's.

    Attention does not depend on a bias shared by all keys, so its gradient is only rounding.
    """
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    largest = {keystr(path): np.abs(leaf).max() for path, leaf in jax.tree.leaves_with_path(theirs)}
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        name = keystr(path)
        scale = max(largest[name], largest.get(name.replace("q_bias", "kernel").replace("k_bias", "kernel"), 0.0))
        np.testing.assert_allclose(a, b, rtol=0, atol=limit * scale, err_msg=name)


@pytest.fixture(scope="module")
def oracle():
    """The second implementation, a function from its tensors to vidjax trees, and one from a batch to its views."""
    torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
    import svt_torch

    objective = make_objective(views=VIEWS)
    shapes = Shapes(objective.module, jax.eval_shape(lambda: objective.init(jax.random.key(0), {}))[0])

    def pixels(batch):
        mean, std = torch.tensor(MEAN).double(), torch.tensor(STD).double()
        views = [value for name, value in batch.items() if name != "valid"]
        return [(torch.from_numpy(view).double() / 255 - mean) / std for view in views]

    def start(seed, optim=None):
        state = svt_torch.random_state(SPEC, DISTILL.prototypes, DISTILL.hidden_dim, DISTILL.bottleneck_dim, seed)
        return svt_torch.Trainer(state, SPEC, optim or OptimConfig(), DISTILL, total_steps=TOTAL, frozen_steps=1)

    return start, lambda state, **of: svt_torch.as_tree(state, shapes, **of), pixels


def test_the_loss_and_its_gradients_match_the_second_implementation(oracle):
    start, as_tree, pixels = oracle
    peer, batch = start(seed=0), make_batch()
    peer.teacher = {key: value.detach() for key, value in start(seed=1).student.items()}
    center = np.random.default_rng(2).normal(0, 0.1, DISTILL.prototypes).astype(np.float32)
    peer.center += peer.center.new_tensor(center)
    expected = peer.loss(pixels(batch), num_global=2)
    expected.backward()

    objective, params = make_objective(), as_tree(peer.student)
    extra = begin(objective)[1] | {"teacher": as_tree(peer.teacher), "center": center}

    def loss(params):
        return objective.loss(params, extra, batch, rngs(), True)[0]

    found, gradients = jax.jit(jax.value_and_grad(loss))(params)
    np.testing.assert_allclose(found, expected.item(), rtol=2e-5)
    trees_close(gradients, as_tree(peer.student, of=lambda tensor: tensor.grad), 1e-4)


class Setup:
    """A state on a mesh and its step, without warm-up or randomness."""

    def __init__(self, optim, objective=None, mesh=None, devices=None, accumulate=1, frozen_steps=1):
        self.objective = objective or make_objective()
        self.mesh = mesh_lib.make_mesh(mesh or MeshConfig(), devices or jax.devices()[:1])
        self.optimizer = optimizer = build_optimizer(
            optim, RunLength(TOTAL, last_layer_frozen=frozen_steps), global_batch=optim.reference_batch
        )
        config = config_lib.Config(optim=optim, mesh=MeshConfig(fsdp_min_size=1))
        shapes = state_shapes(config, self.objective, optimizer.tx, self.mesh)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
        init = jax.jit(lambda: init_state(self.objective, optimizer.tx, config.data, 0.0, 0), out_shardings=shardings)
        self.state, self._shardings = init(), shardings
        self.step = make_train_step(self.objective, optimizer, seed=0, accumulate=accumulate, shapes=shapes)

    def begin_with(self, params):
        put = jax.device_put(params, self._shardings.params)
        teacher = jax.device_put(params, self._shardings.extra["teacher"])
        self.state = self.state._replace(params=put, extra=self.state.extra | {"teacher": teacher})

    def run(self, batches):
        losses = []
        for batch in batches:
            with jax.set_mesh(self.mesh):
                placed = mesh_lib.global_batch(batch, mesh_lib.batch_sharding(self.mesh))
                self.state, metrics = self.step(self.state, placed)
            losses.append(float(metrics["train/loss"]))
        return losses


# A key's bias has no true gradient: the larger eps keeps Adam from amplifying its rounding errors.
OPTIM = OptimConfig(
    base_lr=0.01, min_lr=0.001, reference_batch=3, eps=1e-4, weight_decay=0.04, final_weight_decay=0.4,
    decayed="matrices", clip_each=0.1,
)  # fmt: skip


@pytest.mark.slow
def test_three_steps_of_student_teacher_and_centre_follow_the_authors_script(oracle):
    start, as_tree, pixels = oracle
    peer, ours = start(seed=0, optim=OPTIM), Setup(OPTIM, make_objective(views=VIEWS))
    ours.begin_with(as_tree(peer.student))
    before = as_tree(peer.student)["head"]["last_layer"]["kernel"]
    for number in range(3):
        batch = make_batch(seed=number, views=VIEWS)
        theirs = peer.step(pixels(batch), lr=float(ours.optimizer.schedule(number)))
        np.testing.assert_allclose(ours.run([batch]), theirs, rtol=2e-5)
        state = jax.device_get(ours.state)
        trees_close(state.params, as_tree(peer.student), 1e-4)
        trees_close(state.extra["teacher"], as_tree(peer.teacher), 1e-4)
        np.testing.assert_allclose(state.extra["center"], peer.center, rtol=0, atol=2e-5)
        frozen = np.array_equal(state.params["head"]["last_layer"]["kernel"], before)
        assert frozen == (number == 0)


@pytest.fixture(scope="module")
def alone():
    """Two steps on one device: losses, and the state."""
    one = Setup(OPTIM)
    return one.run([make_batch(8, seed) for seed in range(2)]), jax.device_get(one.state)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"mesh": MeshConfig(data=2, fsdp=2, tensor=2), "devices": jax.devices()}, {"accumulate": 2}],
    ids=["mesh of all three axes", "micro-batches"],
)
def test_any_mesh_and_micro_batches_update_teacher_and_centre_like_one_device(alone, options):
    losses, state = alone
    many = Setup(OPTIM, **options)
    np.testing.assert_allclose(many.run([make_batch(8, seed) for seed in range(2)]), losses, rtol=2e-5)
    found = jax.device_get(many.state)
    np.testing.assert_allclose(found.extra["center"], state.extra["center"], rtol=0, atol=1e-6)
    assert np.abs(state.extra["center"]).max() > 1e-3
    trees_close(found.extra["teacher"], state.extra["teacher"], 1e-3)  # sums in a different order, through Adam
    trees_close(found.params, state.params, 1e-3)


def test_padding_rows_have_no_effect():
    objective = make_objective()
    params, extra = begin(objective)
    batch = make_batch(4)
    padded = {name: np.concatenate([value, value[:1]]) for name, value in batch.items()}
    padded["valid"] = np.array([True] * 4 + [False])
    loss = jax.jit(lambda batch: objective.loss(params, extra, batch, rngs(), True))
    (one, (metrics, after)), (other, (others, also)) = loss(batch), loss(padded)
    np.testing.assert_allclose(other, one, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), (after, metrics), (also, others))


@pytest.mark.slow
def test_the_teacher_starts_as_a_copy_and_drops_paths_unless_disabled():
    spec = dataclasses.replace(SPEC, drop_path=0.5)
    batch = make_batch(16)

    def losses(**options):
        objective = make_objective(spec, **options)

        @jax.jit
        def far_from_fresh():
            """A fresh block's attention over time is zero, and its class token nearly the same in every clip."""
            params, extra = objective.init(jax.random.key(0), {})
            params = jax.tree.map(lambda leaf: leaf + 0.2 * jax.random.normal(jax.random.key(3), leaf.shape), params)
            return params, objective.init_extra(params, extra)

        params, extra = far_from_fresh()
        jax.tree.map(np.testing.assert_array_equal, extra["teacher"], params)
        loss = jax.jit(lambda seed: objective.loss(params, extra, batch, rngs(seed), True)[1][1]["gathered"]["sum"])
        return [np.asarray(loss(seed)) for seed in (0, 1)]

    active, again = losses()
    assert np.abs(active - again).max() > 1e-3
    quiet, again = losses(teacher_drop_path=False)
    np.testing.assert_array_equal(quiet, again)


def test_without_training_nothing_is_random():
    """`loss` with train=False needs no random numbers, and keeps the paths that training drops."""
    dropping = make_objective(dataclasses.replace(SPEC, drop_path=0.9))
    params, extra = begin(dropping)

    def loss(objective, rngs):
        return jax.jit(lambda: objective.loss(params, extra, make_batch(), rngs, False)[0])()

    assert loss(dropping, {}) == loss(make_objective(), {}) == loss(dropping, rngs())


def test_momentum_and_temperature_follow_their_schedules():
    objective = make_objective(teacher_temp_start=0.02, teacher_temp=0.06, teacher_temp_steps=4)
    found = [float(objective.momentum(step)) for step in range(TOTAL + 1)]
    expected = [1 - 0.2 * (1 + math.cos(math.pi * step / TOTAL)) / 2 for step in range(TOTAL + 1)]  # DINO's, from 0.8
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    temps = [float(objective.teacher_temp_at(step)) for step in range(7)]
    np.testing.assert_allclose(temps, [0.02, 0.03, 0.04, 0.05, 0.06, 0.06, 0.06], rtol=1e-6)


def test_entropies_distinguish_a_collapsed_teacher_from_a_uniform_one():
    params, extra = begin(make_objective())
    one_of_all = jnp.zeros(DISTILL.prototypes).at[0].set(-1e3)  # subtracting it puts all mass on the first prototype

    @jax.jit
    def entropies(center, temp):
        objective = make_objective(teacher_temp=temp, teacher_temp_start=temp)
        metrics = objective.loss(params, extra | {"center": center}, make_batch(), rngs(), True)[1][0]
        return metrics["target_entropy"], metrics["mean_target_entropy"]

    np.testing.assert_allclose(entropies(one_of_all, 0.04), 0.0, atol=1e-5)
    np.testing.assert_allclose(entropies(extra["center"], 1e4), math.log(DISTILL.prototypes), rtol=1e-5)


def test_flops_count_all_views_thrice_and_the_teachers_once():
    objective = make_objective(views=VIEWS)
    macs = [objective.module.view_macs(shape) for shape in VIEWS.values()]
    assert isinstance(objective, Objective)
    assert objective.train_flops_per_clip == 2 * (3 * sum(macs) + sum(macs[:2]))
    tokens, d, k = 2 * 3 * 3, 24, 33  # of view_0
    by_hand = tokens * 48 * d + 20 * (d + 20 + 10) + 10 * k
    over_time, over_space = tokens * (5 * d * d + 2 * 2 * d), 2 * 10 * (4 * d * d + 2 * 10 * d)
    assert macs[0] == by_hand + 2 * (over_time + over_space + 2 * (tokens + 1) * d * 40)


def make_config(**changes):
    keys = {
        "task": "self_distillation",
        "model.name": "timesformer_tiny",
        "data.num_frames": 8,
        "data.image_size": 32,
        "data.local_size": 16,
        "data.global_views": (8, 8),
        "data.local_views": (4,),
    }
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model__name": "videomae_tiny"}, "needs a TimeSformer; model.name='videomae_tiny' is another model"),
        ({"data__global_views": (), "data__local_views": ()}, "needs views: set data.global_views"),
        ({"data__local_size": 20}, "20 pixels is not a multiple of patch_size=8; use data.image_size=16 or 24"),
        ({"task": "classification"}, "is for self_distillation; task=classification takes single clips"),
    ],
)
def test_a_model_or_data_that_does_not_fit_the_task_is_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_objective(make_config(**changes), 4, total_steps=10)


def test_the_objective_of_a_configuration_has_its_settings():
    distill = {"prototypes": 65, "hidden_dim": 7, "student_temp": 0.2, "teacher_momentum": 0.5, "center_momentum": 0.3}
    config = make_config(**{f"distill__{key}": value for key, value in distill.items()})
    objective = build_objective(config, 4, total_steps=10)
    assert (objective.module.prototypes, objective.module.hidden_dim, objective.total_steps) == (65, 7, 10)
    assert (objective.student_temp, objective.teacher_momentum, objective.center_momentum) == (0.2, 0.5, 0.3)
    assert list(objective.views.values()) == [(8, 32, 32, 3), (8, 32, 32, 3), (4, 16, 16, 3)]
