"""Nearest neighbours: exact ones equal a full sort, approximate ones find nearly all of them."""

import numpy as np
import pytest

from vidjax.search import neighbours


def unit(count, width, seed, centres=0):
    """Unit vectors; around some centres, as the windows of one film are."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, width))
    if centres:
        found = 0.5 * found + rng.normal(size=(centres, width))[rng.integers(0, centres, count)]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("cores", [1, 3, 16])
@pytest.mark.parametrize("sizes", [(500,), (1, 498, 0, 1), (2,)])
def test_exact_neighbours_are_those_of_a_full_sort(monkeypatch, cores, sizes):
    monkeypatch.setattr(neighbours, "usable_cores", lambda: cores)
    vectors, queries = unit(sum(sizes), 24, seed=0), unit(5, 24, seed=1)
    blocks = np.split(vectors, np.cumsum(sizes)[:-1])
    scores, numbers = neighbours.exact(24, len(vectors), iter(blocks)).search(queries, min(50, len(vectors)))
    wanted = queries @ vectors.astype(np.float16).astype(np.float32).T  # as they are kept
    order = np.argsort(-wanted, axis=1)[:, : numbers.shape[1]]
    np.testing.assert_array_equal(numbers, order)
    np.testing.assert_allclose(scores, np.take_along_axis(wanted, order, 1), atol=1e-6)  # sums of 24 float32 products


def test_approximate_neighbours_are_nearly_all_of_the_exact_ones():
    vectors, queries = unit(20_000, 32, seed=0, centres=300), unit(50, 32, seed=1, centres=300)
    index = neighbours.approximate(32, vectors)
    exact = neighbours.exact(32, len(vectors), [vectors]).search(queries, 10)[1]
    found = index.search(queries, 10)[1]
    recall = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(exact, found, strict=True)])
    assert recall > 0.9  # 32 of 141 clusters; with one cluster it is about 0.4
    index.nprobe = 1
    fewer = index.search(queries, 10)[1]
    assert np.mean([len(set(one) & set(other)) / 10 for one, other in zip(exact, fewer, strict=True)]) < recall
