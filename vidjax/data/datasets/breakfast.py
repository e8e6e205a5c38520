"""Breakfast (Kuehne et al. 2014): 52 people cook ten dishes, filmed by three to five cameras; videos last minutes.

On disk, the distributed videos and the lists of ViS4mer, which long-video papers use (44 people for training, 8 for
testing):

    root/[annotations/]{train,test}.csv                        file_name,duration,action,class_id
    root/[BreakfastII_15fps_qvga_sync/]P47/cam01/P47_tea.avi   (for stereo cameras P47_tea_ch0.avi), listed as
                                                               P47-cam01-P47_tea

Splits are train, and val or test (test.csv); labels are the class numbers in the lists. Three training videos in
the lists do not decode. ViS4mer's code skips them; vidjax keeps them in the split, and a run reports them.
"""

from __future__ import annotations

import csv
import os

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.official_lists import Listing, first_existing
from vidjax.data.sources.video_tree import is_video_name
from vidjax.errors import DataError

TITLE = "Breakfast"
CLASSES = (
    "cereals", "coffee", "tea", "pancake", "friedegg", "scrambledegg", "sandwich", "juice", "milk", "salat",
)  # fmt: skip
_LISTS = {"train": "train.csv", "val": "test.csv", "test": "test.csv"}


def find_annotations(root: str, split: str) -> str | None:
    """Return the list of a split, if `root` has one."""
    name = _LISTS.get(split)
    return first_existing(root, f"annotations/{name}", name) if name else None


def listing(root: str, split: str) -> Listing:
    """List the videos of a split, including missing ones.

    Raises:
      DataError: if the list is absent or malformed.
    """
    path, rows = find_annotations(root, split), []
    if path is None:
        raise DataError(
            f"{TITLE}: no annotations/{_LISTS.get(split, 'train.csv')} under {root}; splits are train, val, test"
        )
    with open(path, newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.DictReader(file), 2):
            action = line.get("action")
            if not line.get("file_name") or action not in CLASSES or line.get("class_id") != str(CLASSES.index(action)):
                raise DataError(
                    f"{path}, line {number}: expected file_name,duration,action,class_id with one of the actions "
                    f"{', '.join(CLASSES)}, numbered from 0 in this order"
                )
            rows.append((line["file_name"], CLASSES.index(action)))
    return Listing(TITLE, split, rows, CLASSES, _videos(root), root, ".avi")


def _videos(root: str) -> dict[str, str]:
    """Every video by its listed name: person, camera and file."""
    found = {}
    for folder, _, files in os.walk(root):
        place = "-".join(os.path.relpath(folder, root).split(os.sep)[-2:])
        videos = filter(is_video_name, files)
        found |= {f"{place}-{os.path.splitext(file)[0]}": os.path.join(folder, file) for file in videos}
    return found


DATASET = DatasetSpec(
    title=TITLE,
    layout="annotations/{train,test}.csv of ViS4mer and <person>/<camera>/<person>_<action>.avi",
    num_classes=len(CLASSES),
    protocol={  # VideoMamba's: frames spread over the whole video, 4 x 3 views
        "data": {"num_frames": 32, "sampling": "segment_rounded", "flip": 0.5},
        "eval": {"clips": 4, "crops": 3, "merge": "mean_softmax"},
    },
    find_annotations=find_annotations,
    listing=listing,
)
