"""Kinetics-710 (Li et al. 2022): Kinetics-400, -600 and -700 merged, 710 classes, about 658k train, 67k val.

On disk, the lists of VideoMAE V2's repository (docs/DATASET.md; lines `<video> <class number>`) and, for class names,
the repository's misc/label_map_k710.txt, renamed to labels.txt:

    root/{train,val}.csv   root/labels.txt

Its classes are in no particular order, so class folders cannot number them.
"""

from __future__ import annotations

from vidjax.data.datasets import DatasetSpec, kinetics400

DATASET = DatasetSpec(
    title="Kinetics-710",
    layout="{train,val}.csv with lines `<video> <class number>`, labels.txt (VideoMAE V2's misc/label_map_k710.txt)",
    num_classes=710,
    protocol=kinetics400.DATASET.protocol,
)
