"""Attention with capped logits against its equation in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.errors import ConfigError
from vidjax.ops.attention import capped
from vidjax.ops.attention.capped import capped_attention


def arrays(n=12, m=12):
    rng = np.random.default_rng(0)
    return [2 * rng.normal(size=(2, length, 3, 4)).astype(np.float32) for length in (n, m, m)]


def by_hand(q, k, v, cap, mask=None):
    logits = np.einsum("bnhd,bmhd->bhnm", q.astype(np.float64), k) / 2
    logits = cap * np.tanh(logits / cap)
    logits = logits if mask is None else np.where(mask, logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("bhnm,bmhd->bnhd", weights / weights.sum(-1, keepdims=True), v)


@pytest.mark.parametrize("implementation", [None, "xla", "blocked"])
def test_capped_attention_follows_the_equation(implementation, monkeypatch):
    monkeypatch.setattr(capped, "QUERIES", 4)
    q, k, v = arrays()
    found = jax.jit(lambda *of: capped_attention(*of, cap=3.0, implementation=implementation))(q, k, v)
    np.testing.assert_allclose(found, by_hand(q, k, v, 3.0), rtol=0, atol=1e-5)
    assert np.abs(by_hand(q, k, v, 3.0) - by_hand(q, k, v, 1e6)).max() > 0.1  # the cap matters here


@pytest.mark.parametrize("n", [12, 11])
def test_blocks_of_queries_have_the_same_gradient(n, monkeypatch):
    monkeypatch.setattr(capped, "QUERIES", 4)
    q, k, v = arrays(n)

    def gradient(implementation):
        out = lambda q, k, v: jnp.sum(capped_attention(q, k, v, cap=3.0, implementation=implementation) ** 2)  # noqa: E731
        return jax.jit(jax.grad(out, argnums=(0, 1, 2)))(q, k, v)

    for ours, wanted in zip(gradient("blocked"), gradient("xla"), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-4)


def test_a_prime_number_of_queries_takes_no_more_blocks_than_it_needs(monkeypatch):
    monkeypatch.setattr(capped, "QUERIES", 4)
    q, k, v = arrays(n=11)
    blocked = lambda *of: capped_attention(*of, cap=3.0, implementation="blocked")  # noqa: E731
    np.testing.assert_allclose(jax.jit(blocked)(q, k, v), by_hand(q, k, v, 3.0), rtol=0, atol=1e-5)
    assert "length=3" in str(jax.make_jaxpr(blocked)(q, k, v))


def test_masks_apply_after_the_cap():
    q, k, v = arrays()
    mask = np.tril(np.ones((12, 12), bool))[None, None]
    found = capped_attention(q, k, v, cap=3.0, mask=jnp.asarray(mask))
    np.testing.assert_allclose(found, by_hand(q, k, v, 3.0, mask), rtol=0, atol=1e-5)


def test_an_implementation_without_a_cap_is_refused():
    q, k, v = arrays()
    with pytest.raises(ConfigError, match="attention='splash' cannot cap its logits; choose one of xla, blocked"):
        capped_attention(q, k, v, cap=3.0, implementation="splash")
    with pytest.raises(ConfigError, match="attention='blocked' takes no mask"):
        capped_attention(q, k, v, cap=3.0, mask=jnp.ones((1, 1, 12, 12), bool), implementation="blocked")
