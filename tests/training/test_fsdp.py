"""A step with divided parameters sends parameters and their gradients, regardless of the number of clips."""

import jax
import pytest

from vidjax import config as config_lib
from vidjax.aot.hlo import Program
from vidjax.tasks import build_objective
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import batch_shapes, state_shapes
from vidjax.training.step import make_train_step

MODELS = {
    "videomae_tiny": "masked_autoencoding",
    "timesformer_tiny": "classification",
    "vivit_tiny": "classification",
    "videomamba_tiny": "classification",
    "vjepa2_tiny": "classification",
    "videoprism_tiny": "classification",
    "clip_tiny": "classification",
}


def collectives(name, task, clips, fsdp=8):
    """The communication of a step on eight devices, `fsdp` of which share its parameters."""
    config = config_lib.defaults()
    keys = {
        "task": task, "model.name": name, "model.dtype": "float32", "model.mask_ratio": 0.75, "data.name": "synthetic",
        "data.num_classes": 4, "data.num_frames": 4, "data.image_size": 32, "data.global_batch": clips,
        "mesh.data": -1, "mesh.fsdp": fsdp, "mesh.fsdp_min_size": 1,
    }  # fmt: skip
    config.update_from_flattened_dict(keys)
    config = config_lib.from_dict(config.to_dict())
    mesh, objective = mesh_lib.make_mesh(config.mesh), build_objective(config, 4)
    optimizer = build_optimizer(config.optim, RunLength(1000), global_batch=256)
    with jax.set_mesh(mesh):
        shapes = state_shapes(config, objective, optimizer.tx, mesh)
        step = make_train_step(objective, optimizer, seed=0, shapes=shapes)
        text = step.lower(shapes, batch_shapes(config.data)).compile().as_text()
    parameters = sum(4 * leaf.size for leaf in jax.tree.leaves(shapes.params))
    return Program(text).collectives, parameters


@pytest.mark.parametrize(
    "name", [name if name == "videomae_tiny" else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_no_activations_are_sent_between_devices_that_share_parameters(name):
    few, many = (sum(found.bytes for found in collectives(name, MODELS[name], clips)[0].values()) for clips in (8, 24))
    assert many < 1.1 * few


@pytest.mark.parametrize("fsdp", [8, pytest.param(4, marks=pytest.mark.slow)])
def test_gradients_are_summed_and_divided_in_one_operation(fsdp):
    """A device sends each gradient once around its group, and its own part to the devices with a copy of that part."""
    found, parameters = collectives("videomae_tiny", "masked_autoencoding", 8, fsdp)
    assert found["reduce-scatter"].sent > 0.8 * (fsdp - 1) / fsdp * parameters
    copies = 2 * (8 // fsdp - 1) / (8 // fsdp) * parameters / fsdp
    assert found["all-reduce"].sent < copies + 0.2 * parameters  # includes biases and norms, which few chips divide
