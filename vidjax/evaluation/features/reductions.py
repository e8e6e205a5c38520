"""Reduce stored features for a probe: a stored array, all tokens for a learned weighting, or principal components.

Components are fitted to the training rows. If the rows fit into 1 GiB, scikit-learn's PCA takes all of them at once.
Otherwise its incremental PCA (Ross et al. 2008) takes them block by block, because all tokens of all rows may not fit
into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA, IncrementalPCA

from vidjax.config import ProbeConfig
from vidjax.errors import ConfigError
from vidjax.evaluation.features.store import FeatureStore

WEIGHTED, COMPONENTS = "weighted_tokens", "pca"
_BLOCK_BYTES = 2**30


def arrays_of(config: ProbeConfig, there: Sequence[str]) -> tuple[str, ...]:
    """Return the names in `there` of the arrays that the configured reductions need."""
    wanted = [array_of(reduction, config) for reduction in config.reductions]
    return tuple(name for name in dict.fromkeys(wanted) if name in there)


def array_of(reduction: str, config: ProbeConfig) -> str:
    """Return the name of the array from which a reduction is computed."""
    return {WEIGHTED: "tokens", COMPONENTS: config.pca_of}.get(reduction, reduction)


def reduce(
    reduction: str,
    config: ProbeConfig,
    train: FeatureStore,
    test: FeatureStore,
    seed: int,
) -> tuple[Float[np.ndarray, "n *t d"], Float[np.ndarray, "m *t d"]]:
    """Return the reduced features of the decoded rows of both stores.

    Returns:
      (n t d) and (m t d) for weighted_tokens; else (n d) and (m d).

    Raises:
      ConfigError: for more components than there are rows or values, or an array that a store lacks.
    """
    array = array_of(reduction, config)
    if reduction == COMPONENTS:
        return principal_components(array, config.components, train, test, seed)
    ours, theirs = (store.array(array, np.flatnonzero(store.decoded)) for store in (train, test))
    return (ours, theirs) if reduction == WEIGHTED else (ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1))


def principal_components(
    array: str,
    components: int,
    train: FeatureStore,
    test: FeatureStore,
    seed: int,
    block_bytes: int = _BLOCK_BYTES,
) -> tuple[Float[np.ndarray, "n components"], Float[np.ndarray, "m components"]]:
    """Project the decoded rows of both stores onto the principal components of the training rows."""
    rows, values = int(train.decoded.sum()), int(np.prod(train.header.arrays.get(array, (0,))))
    if array in train.header.arrays and components > min(rows, values):
        raise ConfigError(
            f"probe.components={components} for {rows} training rows of {values} values; choose 1 to "
            f"{min(rows, values)}"
        )
    size = max(block_bytes // max(4 * values, 1), components)
    if rows <= size:
        pca = PCA(components, random_state=seed).fit(next(_blocks(train, array, size, 1)))
    else:
        pca = IncrementalPCA(components)
        for block in _blocks(train, array, size, components):
            pca.partial_fit(block)
    ours, theirs = (
        np.concatenate([pca.transform(block) for block in _blocks(store, array, size, 1)]) for store in (train, test)
    )
    return ours, theirs


def _blocks(store: FeatureStore, array: str, size: int, least: int) -> Iterator[Float[np.ndarray, "rows values"]]:
    """Yield the decoded rows in blocks; a last block of fewer than `least` rows is joined to the one before it."""
    rows = np.flatnonzero(store.decoded)
    starts = [start for start in range(0, len(rows), size) if start == 0 or len(rows) - start >= least]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield store.array(array, rows[start:end]).reshape(end - start, -1)
