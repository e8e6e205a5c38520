"""The sine-cosine table against the formula, entry by entry."""

import math

import jax
import numpy as np
import pytest

from vidjax import ops


@pytest.mark.parametrize(("n", "d"), [(1568, 8), (5, 7)])
def test_table_is_the_formula_of_the_transformer_paper(n, d):
    table = np.asarray(jax.jit(lambda: ops.sincos_1d(n, d))())
    for position in (0, 1, n // 2, n - 1):
        for j in range(d):
            angle = position / math.pow(10000, 2 * (j // 2) / d)
            expected = math.cos(angle) if j % 2 else math.sin(angle)
            assert table[position, j] == pytest.approx(expected, abs=1e-6)
