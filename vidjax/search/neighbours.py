"""Nearest neighbours among unit vectors, by faiss: exact, or approximate by searching some of their clusters.

Vectors are kept as float16, half the memory of float32, and compared in float32. faiss searches one query on one core,
so an exact index is divided among the cores.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import faiss
import numpy as np
from jaxtyping import Float

from vidjax.data.machine import usable_cores

_MOST_SHARDS = 16
_CLUSTER_ROWS = 39  # minimum vectors per cluster; with fewer, faiss's k-means warns
_TRAINED = 64  # vectors per cluster that k-means sees
PROBED = 32  # clusters searched per query
Nearest: TypeAlias = faiss.Index  # ntotal vectors, and search(queries, count) -> scores, numbers


def exact(width: int, count: int, blocks: Iterable[Float[np.ndarray, "n d"]]) -> Nearest:
    """Build an index for exact search over unit vectors, which are numbered in order.

    Args:
      width: dimension of a vector; count: number of vectors.
      blocks: the vectors, consumed block by block.
    """
    cores = min(usable_cores(), _MOST_SHARDS)
    whole = faiss.IndexShards(width, True)  # searched by threads
    whole.successive_ids = True  # numbers continue from shard to shard
    bounds, first = np.linspace(0, count, cores + 1).astype(int), 0
    shards = [
        faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT) for _ in bounds[1:]
    ]
    for block in blocks:
        for shard, start, end in zip(shards, bounds[:-1], bounds[1:], strict=True):
            own = block[max(start - first, 0) : max(end - first, 0)]
            if len(own):
                shard.add(np.ascontiguousarray(own, np.float32))
        first += len(block)
    for shard in shards:
        whole.add_shard(shard)
    return whole


def approximate(width: int, vectors: Float[np.ndarray, "n d"], seed: int = 0) -> Nearest:
    """Cluster unit vectors by k-means; a search looks only into the clusters nearest to the query."""
    clusters = max(1, min(round(len(vectors) ** 0.5), len(vectors) // _CLUSTER_ROWS))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(width), width, clusters, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    index.cp.seed, index.cp.spherical = seed, True
    chosen = np.random.default_rng(seed).permutation(len(vectors))[: _TRAINED * clusters]
    index.train(np.asarray(vectors[np.sort(chosen)], np.float32))
    for start in range(0, len(vectors), 2**16):
        index.add(np.asarray(vectors[start : start + 2**16], np.float32))
    return tuned(index)


def tuned(index: Nearest) -> Nearest:
    """Set the search parameters that the file of an approximate index does not keep."""
    clusters = faiss.extract_index_ivf(index)
    clusters.nprobe, clusters.parallel_mode = min(PROBED, clusters.nlist), 1  # a query's clusters on all cores
    return index
