"""Kinetics-600 (Carreira et al. 2018): 600 classes of 10-second YouTube clips, about 390k train, 30k val, 60k test.

The files are laid out as for Kinetics-400 (`vidjax.data.datasets.kinetics400`), and the protocol is the same.
"""

from __future__ import annotations

import dataclasses
import functools

from vidjax.data.datasets import kinetics400

TITLE = "Kinetics-600"

DATASET = dataclasses.replace(
    kinetics400.DATASET,
    title=TITLE,
    num_classes=600,
    listing=functools.partial(kinetics400.listing, title=TITLE),
)
