"""Videos of your own: class folders, lists of `path label` lines, or prepared records, all read by shared code."""

from __future__ import annotations

from vidjax.data.datasets import DatasetSpec

DATASET = DatasetSpec(
    title="videos in folders",
    layout="<split>/<class>/<video>, or <split>.csv with lines `path label`, or prepared records",
)
