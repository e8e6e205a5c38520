"""Kinetics-700 (Carreira et al. 2019; 2020 for the extended list): 700 classes of 10-second YouTube clips.

On disk as Kinetics-400 (`vidjax.data.datasets.kinetics400`): annotations/{train,val,test}.csv with the columns label,
youtube_id, time_start, time_end, split, and {train,val,test}/[<class>/]<youtube_id>_<start:06d>_<end:06d>.mp4.
"""

from __future__ import annotations

from vidjax.data.datasets import kinetics400
from vidjax.data.sources.listing import Listing

TITLE, NUM_CLASSES = "Kinetics-700", 700
LAYOUT, VIDEOS = kinetics400.LAYOUT, kinetics400.VIDEOS
PROTOCOL = kinetics400.PROTOCOL
annotations = kinetics400.annotations


def listing(root: str, split: str) -> Listing:
    """What the annotations of a split list, there or not.

    Raises:
      DataError: if the annotations are absent or malformed.
    """
    return kinetics400.listing(root, split, TITLE)
