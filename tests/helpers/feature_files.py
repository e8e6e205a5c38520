"""Stores of hand-made features, as `vidjax embed` would write them."""

import numpy as np

from vidjax.data.sources.rows import Row
from vidjax.evaluation.features.header import Header, write_header
from vidjax.evaluation.features.parts import write_part
from vidjax.evaluation.features.store import FeatureStore


def write_store(
    folder, split, arrays, *, labels=None, targets=None, groups=None, names=None, source="hand", failed=(), digest="d"
):
    """Write a store in parts of seven rows; rows in `failed` have a reason and zeros."""
    count = len(next(iter(arrays.values())))
    labels = np.zeros(count, int) if labels is None else labels
    targets = [()] * count if targets is None else [tuple(row) for row in targets]
    rows = [
        Row(None, int(labels[n]), f"{split}_{n}", target=targets[n], group=groups[n] if groups is not None else "")
        for n in range(count)
    ]
    header = Header(
        backbone={"source": source, "family": "videomae", "digest": digest},
        data={
            "name": "hand", "root": "", "split": split, "content_id": split,
            "annotation": "target" if targets[0] else "label",
            "num_rows": count, "num_classes": int(labels.max()) + 1, "labels": names,
        },
        clip={"num_frames": 8, "stride": 1, "sampling": "dense", "image_size": 16},
        arrays={name: array.shape[1:] for name, array in arrays.items()},
        rows_per_part=7,
        dtype="float32",
    )  # fmt: skip
    folder.mkdir(parents=True)
    write_header(folder, header)
    for part in range(header.num_parts):
        chosen = list(header.rows_of(part))
        block = {name: np.float32(array[chosen]) for name, array in arrays.items()}
        reasons = ["corrupt" if row in failed else "" for row in chosen]
        for array in block.values():
            array[[bool(reason) for reason in reasons]] = 0
        write_part(folder, part, block, [rows[row] for row in chosen], reasons)
    return FeatureStore.open(folder)
