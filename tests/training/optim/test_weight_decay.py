"""Weight decay: which parameters, and how it rises over a run."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from vidjax.config import OptimConfig
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.optim.weight_decay import decay_mask


def test_weight_decay_rises_by_half_a_cosine_of_the_runs_step():
    """DINO's cosine_scheduler(0.04, 0.4); it does not depend on the optimiser's own counter."""
    config = OptimConfig(weight_decay=0.04, final_weight_decay=0.4)
    tx = build_optimizer(config, RunLength(10), global_batch=256).tx
    params = {"head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    state, zeros = tx.init(params), jax.tree.map(jnp.zeros_like, params)
    for step in (0, 3, 9):
        direction, _ = tx.update(zeros, state, params, step=jnp.int32(step))
        expected = 0.4 + 0.5 * (0.04 - 0.4) * (1 + math.cos(math.pi * step / 10))
        np.testing.assert_allclose(direction["head"]["kernel"], expected, rtol=1e-5)
        np.testing.assert_array_equal(direction["head"]["bias"], 0.0)


def test_what_is_decayed_follows_the_recipe():
    params = {
        "encoder": {
            "cls_token": jnp.ones(3), "pos_embed": jnp.ones((4, 3)),
            "blocks": {"norm1": {"scale": jnp.ones((2, 3))}, "mlp": {"fc1": {"kernel": jnp.ones((2, 3, 3))}}},
        },
        "head": {"kernel": jnp.ones((3, 5)), "bias": jnp.ones(5)},
    }  # fmt: skip

    def decayed(kind):
        named = jax.tree_util.tree_flatten_with_path(decay_mask(params, kind))[0]
        return {jax.tree_util.keystr(path, simple=True, separator="/") for path, yes in named if yes}

    kernels = {"encoder/blocks/mlp/fc1/kernel", "head/kernel"}
    assert decayed("kernels") == kernels
    assert decayed("matrices") == kernels | {"encoder/cls_token", "encoder/pos_embed"}
    assert len(decayed("all")) == 6
