"""The real objectives through the real step and loader: overfitting, every mesh, micro-batches."""

import jax
import numpy as np
import pytest
import toy

from vidjax import config as config_lib
from vidjax.config import MeshConfig
from vidjax.data.loader import train_batches
from vidjax.data.open import open_source
from vidjax.tasks import build_objective
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import init_state, state_shapes
from vidjax.training.step import make_train_step


def make_config(**changes):
    keys = {
        "model.name": "videomae_tiny",
        "model.dtype": "float32",
        "model.mask_ratio": 0.75,
        "data.name": "synthetic",
        "data.num_classes": 4,
        "data.num_frames": 4,
        "data.image_size": 32,
        "data.global_batch": 8,
        "data.crop": "center",
        "data.threads": 1,
        "train.accumulate": 1,
        "mesh.fsdp_min_size": 1,
    }
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


def waves(rows, frames, size):
    """Clips of plane waves, with one direction and phase per row, so that hidden parts can be predicted."""
    rng = np.random.default_rng(0)
    a, b, c, phase = rng.uniform(0.1, 0.6, (4, rows, 1, 1, 1, 1))
    t, h, w, _ = np.meshgrid(*map(np.arange, (frames, size, size, 3)), indexing="ij")
    return (128 + 100 * np.sin(a * t + b * h + c * w + 10 * phase)).astype(np.uint8)


def losses(config, steps, mesh, devices, video=None):
    """Losses of some steps, and the parameters after them, on the loader's batches or always on one `video`."""
    mesh = mesh_lib.make_mesh(mesh, devices)
    source, objective = open_source(config.data, "train"), build_objective(config, config.data.num_classes)
    optimizer = build_optimizer(config.optim, RunLength(1000), global_batch=256)
    batches = train_batches(source, config.data, seed=0)
    found = []
    with jax.set_mesh(mesh):
        shapes = state_shapes(config, objective, optimizer.tx, mesh)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
        state = jax.jit(lambda: init_state(objective, optimizer.tx, config.data, 0.0, 0), out_shardings=shardings)()
        accumulate = config.train.accumulate
        step = make_train_step(objective, optimizer, seed=0, accumulate=accumulate, shapes=shapes)
        first = next(batches)
        for number in range(steps):
            local = first | {"video": video} if video is not None else next(batches) if number else first
            state, metrics = step(state, mesh_lib.global_batch(local, mesh_lib.batch_sharding(mesh)))
            found.append(float(metrics["train/loss"]))
    batches.close()
    return found, toy.first_of(state.params)


MIXING = {"data__mixup": 0.8, "data__cutmix": 1.0, "data__erase": 0.5}


@pytest.mark.parametrize(
    ("devices", "accumulate"),
    [(2, 2), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((1, 2), (1, 4), (2, 4)))],
)
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"task": "masked_autoencoding", "model__decoder_mask": "running_cell", "data__image_size": 32}, id="masks"
        ),
        pytest.param({"task": "classification", **MIXING}, marks=pytest.mark.slow, id="mixing"),
        pytest.param(
            {"task": "classification", **MIXING, "data__mix_group": 2, "data__global_batch": 16},
            marks=pytest.mark.slow,
            id="mixing in groups",
        ),
    ],
)
def test_micro_batches_see_the_masks_boxes_and_pairs_of_the_whole_batch(changes, devices, accumulate):
    """A batch cut into micro-batches learns the same: `train.accumulate` only affects memory."""
    whole, alone = losses(make_config(**changes), 2, MeshConfig(), jax.devices()[:1])
    parts, params = losses(
        make_config(**changes, train__accumulate=accumulate), 2, MeshConfig(), jax.devices()[:devices]
    )
    np.testing.assert_allclose(parts, whole, rtol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, alone)


@pytest.mark.slow
@pytest.mark.parametrize("student", ["videomae_tiny", "videomamba_tiny"])
def test_feature_alignment_has_the_same_gradients_in_micro_batches_and_on_any_mesh(student):
    """One step of plain SGD at a rate of 1 moves parameters by the gradient. The teacher's attention hides tokens."""
    changes = {
        "task": "feature_alignment", "model__name": student, "model__mask": "attention", "model__mask_ratio": 0.5,
        "align__teacher": "clip_tiny", "align__class_token": student == "videomamba_tiny", "optim__name": "sgd",
        "optim__base_lr": 1.0, "optim__warmup_epochs": 0.0, "optim__weight_decay": 0.0, "optim__clip_norm": 0.0,
    }  # fmt: skip
    begins = losses(make_config(**changes | {"optim__base_lr": 0.0}), 1, MeshConfig(), jax.devices()[:1])[1]
    whole, alone = losses(make_config(**changes), 1, MeshConfig(), jax.devices()[:1])
    gradients = jax.tree.map(np.subtract, begins, alone)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients))
    assert largest > 1e-2
    for accumulate, devices, mesh in ((2, 1, {}), (2, 2, {}), (1, 8, {"data": 2, "fsdp": 2, "tensor": 2})):
        config = make_config(**changes, train__accumulate=accumulate)
        found, params = losses(config, 1, MeshConfig(**mesh), jax.devices()[:devices])
        np.testing.assert_allclose(found, whole, rtol=1e-5)
        moved = jax.tree.map(np.subtract, begins, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), moved, gradients)


@pytest.mark.slow
def test_groups_of_mixed_rows_may_lie_on_several_devices():
    """A group of 4 on 8 devices with 2 rows each is mixed as on one device."""
    changes = {"data__mixup": 0.8, "data__cutmix": 1.0, "data__mix_group": 4, "data__global_batch": 16}
    config = make_config(task="classification", **changes)
    one, alone = losses(config, 2, MeshConfig(), jax.devices()[:1])
    many, params = losses(config, 2, MeshConfig(), jax.devices())
    np.testing.assert_allclose(many, one, rtol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mesh"),
    [
        ("vivit_tiny", MeshConfig()),
        ("timesformer_tiny", MeshConfig(data=2, fsdp=2, tensor=2)),
        ("videomamba_tiny", MeshConfig(data=2, fsdp=2, tensor=2)),
    ],
)
def test_separately_clipped_groups_train_alike_on_any_mesh(name, mesh):
    """Mixed pairs, erased boxes and dropped paths are the same too: nothing depends on the number of devices."""
    drawn = {"data__mixup": 0.8, "data__mix_group": 2, "data__erase": 0.5, "model__drop_path": 0.3}
    clipped = {"optim__clip_group": 2, "optim__clip_norm": 0.05, "optim__name": "sgd", "optim__base_lr": 4.0}
    config = make_config(
        task="classification", model__name=name, data__global_batch=16, optim__weight_decay=0.0, **drawn, **clipped
    )
    one, alone = losses(config, 3, MeshConfig(), jax.devices()[:1])
    many, params = losses(config, 3, mesh, jax.devices())
    assert one[2] != pytest.approx(one[0], rel=1e-3)
    np.testing.assert_allclose(many, one, rtol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), params, alone)


@pytest.mark.parametrize(
    "mesh",
    [MeshConfig(data=2, fsdp=2, tensor=2), pytest.param(MeshConfig(data=2, fsdp=4), marks=pytest.mark.slow)],
    ids=str,
)
@pytest.mark.parametrize("task", ["masked_autoencoding", pytest.param("classification", marks=pytest.mark.slow)])
def test_a_mesh_of_several_axes_trains_like_one_device(task, mesh):
    extra = {"data__mixup": 0.8, "data__cutmix": 1.0, "data__erase": 0.25, "model__drop_path": 0.1}
    config = make_config(task=task, **(extra if task == "classification" else {}))
    one, alone = losses(config, 3, MeshConfig(), jax.devices()[:1])
    many, params = losses(config, 3, mesh, jax.devices())
    np.testing.assert_allclose(many, one, rtol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4), params, alone)


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["none", "full"])
@pytest.mark.parametrize("name", ["videoprism_tiny", "clip_tiny"])
def test_the_image_and_video_encoders_of_text_models_train_on_a_mesh_as_on_one_device(name, remat):
    """Three steps of plain SGD, so that parameters move by their gradients."""
    changes = {"optim__name": "sgd", "optim__base_lr": 1.0, "optim__weight_decay": 0.0, "optim__momentum": 0.0}
    config = make_config(task="classification", model__name=name, model__remat=remat, **changes)
    one, alone = losses(
        make_config(task="classification", model__name=name, **changes), 3, MeshConfig(), jax.devices()[:1]
    )
    many, params = losses(config, 3, MeshConfig(data=2, fsdp=2, tensor=2), jax.devices())
    assert one[2] != pytest.approx(one[0], rel=1e-3)
    np.testing.assert_allclose(many, one, rtol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), params, alone)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked_autoencoding", "classification"])
def test_a_tiny_model_overfits_one_batch(task):
    config = make_config(task=task, optim__base_lr=2e-3, optim__weight_decay=0.0, optim__beta2=0.95)
    found, _ = losses(config, 400, MeshConfig(), jax.devices()[:1], waves(8, 4, 32))
    assert np.mean(found[-5:]) < 0.5 * found[0]
