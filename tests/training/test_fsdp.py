"""What a step with divided parameters sends: parameters and their gradients, however many clips there are."""

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
}


def bytes_sent(name, task, clips):
    """Of all collectives of a step on eight devices that share its parameters."""
    config = config_lib.defaults()
    keys = {
        "task": task, "model.name": name, "model.dtype": "float32", "model.mask_ratio": 0.75, "data.name": "synthetic",
        "data.num_classes": 4, "data.num_frames": 4, "data.image_size": 32, "data.global_batch": clips,
        "mesh.data": 1, "mesh.fsdp": -1, "mesh.fsdp_min_size": 1,
    }  # fmt: skip
    config.update_from_flattened_dict(keys)
    config = config_lib.from_dict(config.to_dict())
    mesh, objective = mesh_lib.make_mesh(config.mesh), build_objective(config, 4)
    optimizer = build_optimizer(config.optim, RunLength(1000), global_batch=256)
    with jax.set_mesh(mesh):
        shapes = state_shapes(config, objective, optimizer.tx, mesh)
        step = make_train_step(objective, optimizer, seed=0, shapes=shapes)
        text = step.lower(shapes, batch_shapes(config.data)).compile().as_text()
    return {kind: found.bytes for kind, found in Program(text).collectives.items()}


@pytest.mark.parametrize(
    "name", [name if name == "videomae_tiny" else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_no_activations_are_sent_between_devices_that_share_parameters(name):
    few, many = (sum(bytes_sent(name, MODELS[name], clips).values()) for clips in (8, 24))
    assert many < 1.1 * few
