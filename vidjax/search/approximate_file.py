"""Clusters for approximate search, kept beside an index with the revision of the windows that they cover."""

from __future__ import annotations

import os
import tempfile

import faiss
import numpy as np
from jaxtyping import Float

from vidjax.errors import ConfigError, DataError
from vidjax.files import Place, drafted, in_bucket, read_json, write_json
from vidjax.search import neighbours

_CLUSTERS, _ABOUT = "approximate.faiss", "approximate.json"


def write_approximate(folder: Place, revision: str, vectors: Float[np.ndarray, "n d"]) -> None:
    """Cluster the vectors of an index, and write the clusters; `revision` identifies its windows.

    Raises:
      DataError: if the files cannot be written.
    """
    index = neighbours.approximate(vectors.shape[1], vectors)
    (folder / _ABOUT).unlink(missing_ok=True)  # a kill leaves no clusters rather than mixed ones
    with drafted(folder / _CLUSTERS) as draft:
        try:
            faiss.write_index(index, os.fspath(draft))
        except RuntimeError as error:  # the only type that faiss raises
            raise DataError(
                f"{folder / _CLUSTERS} cannot be written; make room on that disk, and start again"
            ) from error
    write_json(folder / _ABOUT, {"revision": revision, "windows": len(vectors)})


def has_approximate(folder: Place, revision: str) -> bool:
    """Whether an index has clusters for this revision of its windows."""
    about = read_json(folder / _ABOUT)
    return isinstance(about, dict) and about.get("revision") == revision


def read_approximate(folder: Place, revision: str) -> neighbours.Nearest:
    """Read the clusters of an index.

    Raises:
      ConfigError: if there are none, or they cover other windows.
      DataError: if they are damaged.
    """
    if not has_approximate(folder, revision):
        raise ConfigError(
            f"{folder} has no clusters of its current windows for approximate search; repeat `vidjax index` with "
            "--approximate"
        )
    try:
        if in_bucket(folder):
            with tempfile.NamedTemporaryFile() as copy:
                copy.write((folder / _CLUSTERS).read_bytes())
                copy.flush()
                index = faiss.read_index(copy.name)
        else:
            index = faiss.read_index(os.fspath(folder / _CLUSTERS))
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{folder / _CLUSTERS} is damaged; remove it and {_ABOUT}, and repeat `vidjax index` with --approximate"
        ) from error
    return neighbours.tuned(index)
