"""Kinetics-700 (Carreira et al. 2019, extended by Smaira et al. 2020): 700 classes of 10-second YouTube clips.

The files are laid out as for Kinetics-400 (`vidjax.data.datasets.kinetics400`), and the protocol is the same.
"""

from __future__ import annotations

import dataclasses
import functools

from vidjax.data.datasets import kinetics400

TITLE = "Kinetics-700"

DATASET = dataclasses.replace(
    kinetics400.DATASET,
    title=TITLE,
    num_classes=700,
    listing=functools.partial(kinetics400.listing, title=TITLE),
)
