"""AFEW-VA (Kossaifi et al. 2017): 600 film clips as frames, each with valence and arousal from -10 to 10.

On disk, as the twelve archives unpack:

    root/[NN/]<clip>/<frame:05d>.png        for example 001/00000.png
    root/[NN/]<clip>/<clip>.json            {"actor": ..., "frames": {"00000": {"valence": 0.0, "arousal": 2.0, ...}}}
    root/subjects.csv                       lines `clip,subject[,fold]`, where the JSON has no actor or to fix folds

A row is a frame in the middle of a window of data.num_frames * data.stride frames; beyond its ends a clip repeats its
first and last frame. Splits `train` and `val` are fold 1 of five, `train2`, `val2` fold 2 and so on; nobody is in two.
"""

from __future__ import annotations

import csv
import glob
import json
import logging
import os
import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from vidjax.config import DataConfig
from vidjax.data.frames import FrameWindow
from vidjax.data.rows import Row
from vidjax.data.table import TableSource
from vidjax.errors import DataError

TITLE, NUM_CLASSES = "AFEW-VA", 4
FACTS = ("", "target")  # quadrants as classes, or valence and arousal
TARGETS = ("valence", "arousal")
QUADRANTS = ("top_left", "top_right", "bottom_left", "bottom_right")  # valence to the right, arousal upwards; 0 is both
FOLDS = 5
FPS = 25.0
_LIMIT = 10.0  # of the annotations
_UNKNOWN = "somebody in clip "


@dataclass(frozen=True)
class Clip:
    """A clip: its folder, frames, (valence, arousal) of each in [-1, 1], and who is in it."""

    name: str
    folder: str
    frames: tuple[str, ...]
    values: tuple[tuple[float, float], ...]
    subject: str


def annotations(root: str, split: str) -> str | None:
    """The first annotation of the layout, if `root` has one and the split is a fold of it."""
    if not re.fullmatch(rf"(train|val|test)[1-{FOLDS}]?", split):
        return None
    return next(iter(_jsons(root)), None)


def open_split(root: str, split: str, data: DataConfig, fact: str) -> TableSource:
    """The windows of a split, a frame each.

    Raises:
      DataError: if annotations are absent or malformed, a value is out of range, a frame has no file, or a subject is
        in two folds.
    """
    if annotations(root, split) is None:
        raise DataError(
            f"{TITLE}: no <clip>/<clip>.json under {root}, or {split!r} is none of train, val, and train1 to "
            f"val{FOLDS} for the {FOLDS} folds"
        )
    fixed = _subjects(root)
    clips = [_clip(path, fixed) for path in _jsons(root)]
    alone = sum(clip.subject.startswith(_UNKNOWN) for clip in clips)
    if alone:
        logging.getLogger("vidjax").warning(
            "%s: %d of %d clips do not say who is in them; each is taken for a subject of its own. %s would say it",
            TITLE, alone, len(clips), os.path.join(root, "subjects.csv"),
        )  # fmt: skip
    fold = int(re.sub(r"\D", "", split) or 1)
    of_subject = assign_folds(clips, {clip.name: fixed[clip.name][1] for clip in clips if clip.name in fixed})
    held_out = not split.startswith("train")
    rows = [row for clip in clips if (of_subject[clip.subject] == fold) == held_out for row in _rows(clip, data, fact)]
    labels = TARGETS if fact == "target" else QUADRANTS
    return TableSource(f"afew_va/{split}/{data.num_frames}x{data.stride}", rows, fact=fact, labels=labels)


def assign_folds(clips: list[Clip], fixed: dict[str, int]) -> dict[str, int]:
    """The fold, from 1 up, of every subject: those given, else the largest subjects first to the smallest fold.

    Args:
      fixed: fold of a clip, 0 where none is given.

    Raises:
      DataError: for a subject whose clips are in two folds.
    """
    folds: dict[str, int] = {}
    sizes, frames = np.zeros(FOLDS, int), defaultdict(int)
    for clip in clips:
        frames[clip.subject] += len(clip.frames)
        if fold := fixed.get(clip.name, 0):
            if not 1 <= fold <= FOLDS:
                raise DataError(f"{TITLE}: clip {clip.name} is in fold {fold}; folds are 1 to {FOLDS}")
            if folds.setdefault(clip.subject, fold) != fold:
                raise DataError(
                    f"{TITLE}: subject {clip.subject!r} is in folds {folds[clip.subject]} and {fold} (clip "
                    f"{clip.name}); give all clips of a subject the same fold"
                )
    for subject, fold in folds.items():
        sizes[fold - 1] += frames[subject]
    for subject in sorted(frames, key=lambda name: (-frames[name], name)):
        if subject not in folds:
            folds[subject] = int(sizes.argmin()) + 1
            sizes[folds[subject] - 1] += frames[subject]
    return folds


def quadrant(valence: float, arousal: float) -> int:
    """Its number in `QUADRANTS`."""
    return (0 if arousal >= 0 else 2) + (1 if valence >= 0 else 0)


def _rows(clip: Clip, data: DataConfig, fact: str) -> list[Row]:
    before = data.num_frames // 2 * data.stride
    return [
        Row(
            FrameWindow(clip.folder, clip.frames, place - before, data.num_frames * data.stride, FPS),
            quadrant(*values) if fact == "" else 0,
            f"{clip.name}/{clip.frames[place]}",
            target=values if fact == "target" else (),
            group=clip.subject,
        )
        for place, values in enumerate(clip.values)
    ]


def _clip(path: str, fixed: dict[str, tuple[str, int]]) -> Clip:
    folder, name = os.path.dirname(path), _stem(path)
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        frames = {key: (float(at["valence"]), float(at["arousal"])) for key, at in sorted(about["frames"].items())}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not an annotation of {TITLE}: {type(error).__name__} {error}") from error
    if not frames:
        raise DataError(f"{path} annotates no frame")
    files = {os.path.splitext(file)[0]: file for file in os.listdir(folder) if file.endswith((".png", ".jpg"))}
    for key, values in frames.items():
        if key not in files:
            raise DataError(f"{path} annotates frame {key}, but {folder} has no {key}.png")
        if max(map(abs, values)) > _LIMIT:
            raise DataError(f"{path}: frame {key} has valence and arousal {values}, which go from -10 to 10")
    values = tuple((valence / _LIMIT, arousal / _LIMIT) for valence, arousal in frames.values())
    subject = fixed[name][0] if name in fixed else str(about.get("actor") or _UNKNOWN + name)
    return Clip(name, folder, tuple(files[key] for key in frames), values, subject)


def _jsons(root: str) -> list[str]:
    found = [path for level in ("*", "*/*") for path in glob.glob(os.path.join(glob.escape(root), level, "*.json"))]
    return sorted((path for path in found if _stem(path) == os.path.basename(os.path.dirname(path))), key=_stem)


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _subjects(root: str) -> dict[str, tuple[str, int]]:
    """Subject and fold (0: any) by clip, of subjects.csv."""
    path = os.path.join(root, "subjects.csv")
    if not os.path.isfile(path):
        return {}
    found: dict[str, tuple[str, int]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.reader(file), 1):
            if not line or line[0] == "clip":
                continue
            if len(line) not in (2, 3) or (len(line) == 3 and not line[2].strip().isdecimal()):
                raise DataError(f"{path}, line {number}: {','.join(line)!r} is not `clip,subject[,fold]`")
            found[line[0].strip()] = (line[1].strip(), int(line[2]) if len(line) == 3 else 0)
    return found
