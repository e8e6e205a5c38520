"""COIN by its 12 domains, with videos of 10 to 60 seconds; files and splits as in `vidjax.data.datasets.coin`."""

from __future__ import annotations

from vidjax.data.datasets import DatasetSpec, coin
from vidjax.data.sources.official_lists import Listing

SECONDS = (10.0, 60.0)


def listing(root: str, split: str) -> Listing:
    """List the videos of a split by domain, including missing ones.

    Raises:
      DataError: if the annotations or the taxonomy are absent or malformed.
    """
    return coin.domains(root, split, SECONDS)


DATASET = DatasetSpec(
    title="COIN, domains",
    layout="COIN.json, taxonomy.csv with lines `domain,task`, and videos/<recipe_type>/<id>.mp4",
    num_classes=12,
    protocol={  # "Video classification lab on COIN": VideoMAE, one clip
        "data": {"num_frames": 16, "sampling": "segment", "flip": 0.5},
        "eval": {"clips": 1, "crops": 1, "merge": "mean_softmax"},
    },
    find_annotations=coin.find_annotations,
    listing=listing,  # no `videos`: the number of videos that are short enough is not published
)
