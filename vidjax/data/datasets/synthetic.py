"""Random frames instead of videos, to time everything except decoding; needs no files."""

from __future__ import annotations

from vidjax.config import DataConfig
from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.synthetic import SyntheticSource


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> SyntheticSource:
    """Open a split of noise with data.num_classes classes, or 10 if that is 0."""
    del root, annotation
    return SyntheticSource(split, data.num_classes)


DATASET = DatasetSpec(title="synthetic", layout="no files", needs_root=False, open_split=open_split)
