"""Measure the precision of a search for the same motion: the share of the top five videos that have its class.

    vidjax index motion/test --model runs/motion --every 0.4 --out motion-index
    python scripts/search_motion.py motion-index

Every video of the index is a query, and is itself left out of the results. Its class is the name of its folder.
"""

import argparse
import collections
import json
import pathlib

import numpy as np

from vidjax.search.queries import Asker
from vidjax.search.search_index import SearchIndex
from vidjax.weights import from_pretrained


def precision(folder: str, top: int = 5) -> dict[str, float]:
    """Return the number of videos, their mean precision, and the mean precision of each class."""
    index = SearchIndex.open(folder)
    asker = Asker.of(from_pretrained(index.header.backbone["source"]), index.header, folder)
    found = collections.defaultdict(list)
    for video in index.videos:
        label = pathlib.Path(video).parent.name
        moments = index.search(asker.of_video(video)[0], top, per_video=1, without=[video])
        found[label].append(np.mean([pathlib.Path(moment.video).parent.name == label for moment in moments]))
    everything = np.concatenate([np.array(shares) for shares in found.values()])
    of_classes = {label: round(float(np.mean(shares)), 4) for label, shares in sorted(found.items())}
    return {"videos": len(everything), f"precision@{top}": round(float(everything.mean()), 4), **of_classes}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    print(json.dumps(precision(parser.parse_args().index)))
