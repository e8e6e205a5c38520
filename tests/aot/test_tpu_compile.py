"""The training step compiles for a TPU pod and fits in its memory; no TPU is needed, only its compiler (extra aot)."""

import functools
import importlib.util
import os

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from vidjax import ops
from vidjax.aot.hlo import Program
from vidjax.config import Config, DataConfig, MeshConfig, ModelConfig
from vidjax.ops.mesh_axes import mesh_of
from vidjax.tasks import build_objective
from vidjax.training.mesh import batch_sharding
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import batch_shapes, state_shapes
from vidjax.training.step import make_train_step

pytestmark = [
    pytest.mark.aot,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed (extra aot)"
    ),
]
V5E_MEMORY = 15.75e9  # bytes per chip


@functools.cache
def chips():
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    from jax.experimental import topologies

    return topologies.get_topology_desc("v5e:2x4", "tpu").devices


@pytest.mark.parametrize(("data", "fsdp", "tensor"), [(8, 1, 1), (2, 2, 2)])
def test_pretraining_of_the_base_model_fits_a_v5e_slice_of_8_chips(data, fsdp, tensor):
    config = Config(
        model=ModelConfig("videomae_base", remat="dots", attention="blocked"),
        data=DataConfig(global_batch=64),
        mesh=MeshConfig(data, fsdp, tensor),
    )
    mesh = Mesh(
        np.array(chips()).reshape(data, fsdp, tensor), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3
    )
    objective = build_objective(config, num_classes=1)
    optimizer = build_optimizer(config.optim, RunLength(100, 10), global_batch=64)
    with jax.set_mesh(mesh):
        shapes = state_shapes(config, objective, optimizer.tx, mesh)
        step = make_train_step(objective, optimizer, seed=0, shapes=shapes)
        batch = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=batch_sharding(mesh))
            for name, leaf in batch_shapes(config.data).items()
        }
        compiled = step.trace(shapes, batch).lower(lowering_platforms=("tpu",)).compile()
    memory = compiled.memory_analysis()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
    assert memory.alias_size_in_bytes > 0.9 * memory.argument_size_in_bytes - 64 * 16 * 224 * 224 * 3 / 8, "not donated"
    assert memory.argument_size_in_bytes + memory.temp_size_in_bytes < V5E_MEMORY
    if fsdp * tensor > 1:  # parameters and both of Adam's moments are divided
        assert memory.argument_size_in_bytes < 0.6 * 3 * 4 * parameters


def test_cutting_patches_on_64_chips_sends_no_pixels():
    from jax.experimental import topologies

    devices = topologies.get_topology_desc("v5p:4x4x4", "tpu").devices
    mesh = mesh_of((8, 8, 1), devices)
    clips = jax.ShapeDtypeStruct((128, 4, 32, 32, 3), np.float32, sharding=batch_sharding(mesh))
    with jax.set_mesh(mesh):
        cut = jax.jit(lambda x: jax.numpy.tanh(ops.patchify(2 * x, 2, 16)))
        program = cut.trace(clips).lower(lowering_platforms=("tpu",)).compile().as_text()
    assert not Program(program).collectives
