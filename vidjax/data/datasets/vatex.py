"""VATEX (Wang et al. 2019): clips of 10 s from Kinetics-600 with ten English sentences each.

On disk, as distributed (the lists may also be in `root/annotations`):

    root/vatex_training_v1.0.json             25,991 clips
    root/vatex_validation_v1.0.json           3,000 clips
    root/vatex_public_test_english_v1.1.json  6,000 clips
    root/videos/<videoID>.mp4                 (or any other folder under root); the ID ends in the clip's start and end

Splits are `train`, `val` and `test` (the public test set). For HGR's division of the validation set (Chen et al. 2020),
put the 1,500 identifiers of each half, one per line, into `root/hgr_val.txt` and `root/hgr_test.txt`: these are the
splits `hgr_val` and `hgr_test`.
"""

from __future__ import annotations

from pathlib import Path

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.captioned_videos import CaptionedVideos, Described, check_once, check_texts, read_json_list
from vidjax.data.sources.official_lists import first_existing
from vidjax.errors import DataError

TITLE = "VATEX"
_FILES = {
    "train": "vatex_training_v1.0.json",
    "val": "vatex_validation_v1.0.json",
    "test": "vatex_public_test_english_v1.1.json",
    "hgr_val": "vatex_validation_v1.0.json",
    "hgr_test": "vatex_validation_v1.0.json",
}


def find_annotations(root: str, split: str) -> str | None:
    """The official list of the split, if `root` has one."""
    return first_existing(root, _FILES[split], f"annotations/{_FILES[split]}") if split in _FILES else None


def read(root: str, split: str) -> list[Described]:
    """Read the clips of a split and their English sentences.

    Raises:
      DataError: if a list is absent or malformed.
    """
    path = find_annotations(root, split)
    if path is None:
        wanted = _FILES.get(split, _FILES["train"])
        raise DataError(f"{TITLE}: no {wanted} for split {split!r} under {root}; splits are {', '.join(_FILES)}")
    videos = check_once(
        (_described(video, number, path) for number, video in enumerate(read_json_list(path, list))), path
    )
    return _chosen(videos, root, split) if split.startswith("hgr") else videos


_SOURCE = CaptionedVideos(TITLE, "vatex", read)

DATASET = DatasetSpec(
    title=TITLE,
    layout="vatex_{training,validation}_v1.0.json, vatex_public_test_english_v1.1.json, and videos/<videoID>.mp4",
    annotations=(CAPTIONS,),
    videos={"train": 25_991, "val": 3_000, "test": 6_000},
    protocol={
        "data": {"num_frames": 12, "sampling": "segment", "flip": 0.0},
        "eval": {"clips": 1, "crops": 1},
    },
    find_annotations=find_annotations,
    open_split=_SOURCE.open_split,
    open_videos=_SOURCE.open_videos,
    inventory=_SOURCE.inventory,
)


def _described(video: object, number: int, path: str) -> Described:
    if not isinstance(video, dict) or not isinstance(video.get("videoID"), str):
        raise DataError(f"{path}, entry {number}: {str(video)[:60]!r} has no videoID")
    return Described(video["videoID"], check_texts(video.get("enCap"), f"{path}, enCap of {video['videoID']}"))


def _chosen(videos: list[Described], root: str, split: str) -> list[Described]:
    """The videos that HGR's list of a split names, in its order."""
    path = first_existing(root, f"{split}.txt", f"annotations/{split}.txt")
    if path is None:
        raise DataError(f"{TITLE}: no {split}.txt under {root}; put the identifiers of HGR's split there, one per line")
    known = {video.stem: video for video in videos}
    stems = Path(path).read_text(encoding="utf-8").split()
    if unknown := [stem for stem in stems if stem not in known]:
        raise DataError(f"{path} lists {unknown[0]}, which is not in {_FILES[split]}")
    return check_once((known[stem] for stem in stems), path)
