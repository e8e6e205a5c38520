"""ActivityNet Captions (Krishna et al. 2017): two-minute videos, and sentences that describe their events in order.

On disk, as distributed (the lists may also be in `root/captions`):

    root/{train,val_1,val_2}.json          {"v_<id>": {"duration": s, "timestamps": [...], "sentences": [...]}}
    root/videos/v_<id>.mp4                 (or any other folder and format under root, with or without `v_`)

For paragraph-to-video retrieval (Zhang et al. 2018), the sentences of a video are joined in order into one caption of
the whole video. Splits are `train` (10,009 videos), `val` or `val_1` (4,917 videos, on which papers report), and
`val_2`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.captioned_videos import CaptionedVideos, Described, check_texts, read_json_list
from vidjax.data.sources.official_lists import first_existing, videos_by_stem
from vidjax.errors import DataError

TITLE = "ActivityNet Captions"
_FILES = {"train": "train.json", "val": "val_1.json", "val_1": "val_1.json", "val_2": "val_2.json"}


def find_annotations(root: str, split: str) -> str | None:
    """The official list of the split, if `root` has one."""
    return first_existing(root, _FILES[split], f"captions/{_FILES[split]}") if split in _FILES else None


def read(root: str, split: str) -> list[Described]:
    """Read the videos of a split, each with its sentences as one paragraph.

    Raises:
      DataError: if the list is absent or malformed.
    """
    path = find_annotations(root, split)
    if path is None:
        wanted = _FILES.get(split, _FILES["train"])
        raise DataError(f"{TITLE}: no {wanted} for split {split!r} under {root}; splits are {', '.join(_FILES)}")
    found = videos_by_stem([root])
    return [_described(name, about, path, found) for name, about in read_json_list(path, dict).items()]


_SOURCE = CaptionedVideos(TITLE, "activitynet_captions", read)

DATASET = DatasetSpec(
    title=TITLE,
    layout="{train,val_1,val_2}.json, and videos/v_<id>.mp4",
    annotations=(CAPTIONS,),
    videos={"train": 10_009, "val": 4_917},
    protocol={  # CLIP4Clip: 64 frames over the whole video, one view
        "data": {"num_frames": 64, "sampling": "segment", "flip": 0.0},
        "eval": {"clips": 1, "crops": 1},
    },
    find_annotations=find_annotations,
    open_split=_SOURCE.open_split,
    open_videos=_SOURCE.open_videos,
    inventory=_SOURCE.inventory,
)


def _described(name: str, about: object, path: str, found: Mapping[str, str]) -> Described:
    where = f"{path}, {name}"
    if not isinstance(about, Mapping):
        raise DataError(f"{where}: {str(about)[:60]!r} has no sentences")
    sentences = check_texts(about.get("sentences"), where)
    duration = about.get("duration")
    if not isinstance(duration, int | float) or not 0 < duration < math.inf:
        raise DataError(f"{where}: duration {duration!r} is not a number of seconds above 0")
    plain = name.removeprefix("v_")
    stem = plain if plain in found and name not in found else name
    return Described(stem, (" ".join(text for text in sentences if text),), float(duration))
