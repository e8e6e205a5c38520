"""COIN by its 12 domains, videos of 10 to 60 seconds only; files and splits as `vidjax.data.datasets.coin` has them."""

from __future__ import annotations

from vidjax.data.datasets import coin
from vidjax.data.sources.listing import Listing

TITLE, NUM_CLASSES = "COIN, domains", 12
LAYOUT = "COIN.json, taxonomy.csv with lines `domain,task`, and videos/<recipe_type>/<id>.mp4"
VIDEOS: dict[str, int] = {}  # how many are short enough is not published
SECONDS = (10.0, 60.0)
PROTOCOL = {  # "Video classification lab on COIN": VideoMAE, one clip
    "data": {"num_frames": 16, "sampling": "segment", "flip": 0.5},
    "eval": {"clips": 1, "crops": 1, "merge": "mean_softmax"},
}
annotations = coin.annotations


def listing(root: str, split: str) -> Listing:
    """What the annotations of a split list of such videos, there or not.

    Raises:
      DataError: if the annotations or the taxonomy are absent or malformed.
    """
    return coin.domains(root, split, SECONDS)
