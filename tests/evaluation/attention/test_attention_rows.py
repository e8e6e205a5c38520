"""Weighted sums of attention rows equal those of the whole matrix, which is never stored if it would be large."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.evaluation.attention import rows


def random_inputs(groups, queries, keys, heads=3, channels=5):
    rng = np.random.default_rng(0)
    q, k = (rng.normal(size=(groups, n, heads, channels)).astype(np.float32) for n in (queries, keys))
    return q, k, rng.random((groups, queries)).astype(np.float32)


@pytest.mark.parametrize("logits", [1, 300, 2**23])  # per block: one query, some queries, all queries
def test_rows_equal_those_of_the_matrix_for_any_size_of_blocks(logits, monkeypatch):
    monkeypatch.setattr(rows, "_LOGITS", logits)
    q, k, weights = random_inputs(2, 11, 7)
    shares = np.exp(np.einsum("gnhe,gmhe->ghnm", q, k, dtype=np.float64) * 5**-0.5)
    shares /= shares.sum(axis=-1, keepdims=True)
    wanted = np.einsum("gn,ghnm->ghm", weights, shares)
    np.testing.assert_allclose(rows.over_groups(q, k, weights), wanted, atol=1e-5)


def test_with_many_tokens_no_array_is_as_large_as_the_matrix():
    """The 18,432 tokens of 64 frames of 384 pixels: 12 heads would have logits of 16 GB."""
    q = jax.ShapeDtypeStruct((1, 18_432, 12, 64), jnp.float32)
    traced = jax.make_jaxpr(rows.over_groups)(q, q, jax.ShapeDtypeStruct((1, 18_432), jnp.float32))

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            yield from (value.aval.size for value in equation.outvars)
            for parameter in equation.params.values():
                inner = getattr(parameter, "jaxpr", None)
                if inner is not None:
                    yield from sizes(getattr(inner, "jaxpr", inner))

    assert max(sizes(traced.jaxpr)) <= 2 * 18_432 * 12 * 64
