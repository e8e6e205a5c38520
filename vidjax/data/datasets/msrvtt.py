"""MSR-VTT (Xu et al. 2016): 10,000 web videos of 10 to 30 s with 20 sentences each, for retrieval and captioning.

On disk, in the files that retrieval papers share (JSFusion's test list and CLIP4Clip's archive):

    root/MSRVTT_data.json                 or the challenge's {train_val,test}_videodatainfo.json
    root/MSRVTT_train.{9k,7k}.csv         column video_id
    root/MSRVTT_JSFUSION_test.csv         columns video_id and sentence
    root/MSRVTT_Videos/<video_id>.mp4     (or any other folder under root)

Splits: `train` (9,000 videos), `train_7k`, and `val` or `test`, both the 1,000 videos of the "1k-A" test list, each
with the one sentence that the list gives. `train_official`, `val_official` and `test_official` are the challenge's own
division into 6,513, 497 and 2,990 videos, with all sentences.
"""

from __future__ import annotations

import csv
import os

from vidjax.data.datasets import DatasetSpec
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.captioned_videos import CaptionedVideos, Described, check_once, read_json_list
from vidjax.data.sources.official_lists import first_existing
from vidjax.errors import DataError

TITLE = "MSR-VTT"
_LISTS = {
    "train": "MSRVTT_train.9k.csv",
    "train_7k": "MSRVTT_train.7k.csv",
    "val": "MSRVTT_JSFUSION_test.csv",
    "test": "MSRVTT_JSFUSION_test.csv",
}
_OFFICIAL = {"train_official": "train", "val_official": "validate", "test_official": "test"}
_INFO = ("MSRVTT_data.json", "train_val_videodatainfo.json", "test_videodatainfo.json")
_FOLDERS = ("", "annotation/", "annotations/", "msrvtt_data/")


def find_annotations(root: str, split: str) -> str | None:
    """The list of the split, if `root` has one."""
    if split in _OFFICIAL:
        return _file(root, _INFO[0]) or _file(root, _INFO[2] if split == "test_official" else _INFO[1])
    return _file(root, _LISTS[split]) if split in _LISTS else None


def read(root: str, split: str) -> list[Described]:
    """Read the videos of a split and their sentences.

    Raises:
      DataError: if a list is absent or malformed, or names a video without sentences.
    """
    path = find_annotations(root, split)
    if path is None:
        wanted = _LISTS.get(split) or f"{_INFO[0]} (or {_INFO[1]} and {_INFO[2]})"
        splits = ", ".join([*_LISTS, *_OFFICIAL])
        raise DataError(f"{TITLE}: no {wanted} for split {split!r} under {root}; splits are {splits}")
    if split in ("val", "test"):
        lines = _lines(path, ("video_id", "sentence"))
        return check_once((Described(line["video_id"], (line["sentence"].strip(),)) for line in lines), path)
    captions, parts = _info(root)
    if split in _OFFICIAL:
        stems = [stem for stem, part in parts.items() if part == _OFFICIAL[split]]
    else:
        stems = [line["video_id"] for line in _lines(path, ("video_id",))]
    if unknown := [stem for stem in stems if stem not in captions]:
        raise DataError(f"{path} lists {unknown[0]}, which has no sentence in {' or '.join(_INFO)}")
    return check_once((Described(stem, tuple(captions[stem])) for stem in stems), path)


_SOURCE = CaptionedVideos(TITLE, "msrvtt", read)

DATASET = DatasetSpec(
    title=TITLE,
    layout="MSRVTT_data.json, MSRVTT_train.9k.csv, MSRVTT_JSFUSION_test.csv, and MSRVTT_Videos/<video_id>.mp4",
    annotations=(CAPTIONS,),
    videos={"train": 9_000, "val": 1_000, "test": 1_000},
    protocol={  # CLIP4Clip: 12 frames over the whole video, one view
        "data": {"num_frames": 12, "sampling": "segment", "flip": 0.0},
        "eval": {"clips": 1, "crops": 1},
    },
    find_annotations=find_annotations,
    open_split=_SOURCE.open_split,
    open_videos=_SOURCE.open_videos,
    inventory=_SOURCE.inventory,
)


def _file(root: str, name: str) -> str | None:
    return first_existing(root, *(folder + name for folder in _FOLDERS))


def _lines(path: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}; it should be the shared list of {TITLE}")
        lines = list(reader)
    for number, line in enumerate(lines, 2):
        if not all(line[column] for column in columns):
            raise DataError(f"{os.path.basename(path)}, line {number}: {' or '.join(columns)} is empty")
    return lines


def _info(root: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The sentences of each video, and its part in the official division."""
    paths = [path for name in _INFO if (path := _file(root, name))]
    if not paths:
        raise DataError(f"{TITLE}: no {' or '.join(_INFO)} under {root}; these files hold the sentences")
    captions: dict[str, list[str]] = {}
    parts: dict[str, str] = {}
    for path in paths[:1] if os.path.basename(paths[0]) == _INFO[0] else paths:
        found = read_json_list(path, dict)
        try:
            parts |= {video["video_id"]: video["split"] for video in found["videos"]}
            for sentence in found["sentences"]:
                captions.setdefault(sentence["video_id"], []).append(sentence["caption"].strip())
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} is not the official file of {TITLE}, whose `videos` have video_id and split and whose "
                f"`sentences` have video_id and caption ({error!r})"
            ) from error
    return captions, parts
