"""Parameters that start late, against PyTorch's AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidjax.training.optim.freezing import start_late


def test_a_late_parameter_starts_as_if_training_began_then():
    """PyTorch's AdamW skips a parameter whose gradient is None: no moments, no count, no decay."""
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch (extra: test)")
    rng = np.random.default_rng(0)
    params = {"head": {"fc1": {"kernel": rng.normal(size=(3, 4))}, "last_layer": {"kernel": rng.normal(size=(4, 5))}}}
    params = jax.tree.map(jnp.float32, params)
    theirs = [torch.tensor(np.asarray(leaf), requires_grad=True) for leaf in jax.tree.leaves(params)]
    adamw = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.3)
    rule = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.3))
    tx = start_late(rule, r"head/last_layer/", 2)
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(4):
        grads = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), params)
        for parameter, gradient in zip(theirs, jax.tree.leaves(grads), strict=True):
            parameter.grad = torch.tensor(np.asarray(gradient))
        if step < 2:
            theirs[1].grad = None
        adamw.step()
        direction, state = update(grads, state, params, step=step)
        params = jax.tree.map(lambda p, d: p - 0.01 * d, params, direction)
        for leaf, parameter in zip(jax.tree.leaves(params), theirs, strict=True):
            np.testing.assert_allclose(leaf, parameter.detach(), rtol=1e-5, atol=1e-6)
