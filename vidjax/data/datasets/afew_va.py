"""AFEW-VA (Kossaifi et al. 2017): 600 film clips as frames; each frame has a valence and an arousal, -10 to 10.

On disk, as the twelve archives unpack:

    root/[NN/]<clip>/<frame:05d>.png        for example 001/00000.png
    root/[NN/]<clip>/<clip>.json            {"actor": ..., "frames": {"00000": {"valence": 0.0, "arousal": 2.0, ...}}}
    root/subjects.csv                       lines `clip,subject[,fold]`: for clips without an actor, or to fix folds

A row is the window of data.num_frames * data.stride frames (or, with data.fps, of as many seconds as a clip takes)
around one frame; beyond the ends of its clip, the first or last frame repeats. `val` is fold 1 of five and `train` the
other four; `val2` is fold 2, `train2` the others, and so on; `test` means the same as `val`. No subject is in two
folds. Records have the splits `fold1` to `fold5`, with each clip once.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

import numpy as np

from vidjax.config import DataConfig
from vidjax.data.datasets import DatasetSpec
from vidjax.data.datasets._afew_va_clips import (  # fmt: skip
    FOLDS,
    LIMIT,
    TITLE,
    assign_folds,
    find_clips,
    read_clip,
    read_subjects,
    subject_warnings,
)
from vidjax.data.sources import records
from vidjax.data.sources.annotated_videos import AnnotatedVideo, AnnotatedVideos, read_annotated_videos
from vidjax.data.sources.annotation_checks import unseen_class_warnings, warn
from vidjax.data.sources.annotations import LABEL, TARGET
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.inventory import Inventory, Listed
from vidjax.data.sources.rows import Row
from vidjax.data.video.readers import FrameWindow, StoredVideo
from vidjax.errors import DataError

SPLITS = tuple(f"fold{number}" for number in range(1, FOLDS + 1))
TARGETS = ("valence", "arousal")
# Valence points to the right, arousal up; 0 counts as positive.
QUADRANTS = ("top_left", "top_right", "bottom_left", "bottom_right")
FPS = 25.0
CLIPS = 600  # in total


def find_annotations(root: str, split: str) -> str | None:
    """The root, if it has clips and the split is train, val, test or fold, with or without the number of a fold."""
    is_split = re.fullmatch(rf"(train|val|test|fold)[1-{FOLDS}]?", split)
    return root if is_split and find_clips(root) else None


def open_split(root: str, split: str, data: DataConfig, annotation: str) -> InMemorySource:
    """Open the windows of a split, one around each frame, from the official layout or from records.

    Raises:
      DataError: if annotations are absent or malformed, a value is out of range, a frame has no file, or a subject is
        in two folds.
    """
    whole = open_videos(root, split)
    span = data.num_frames * _stride(data)
    short = [video.id for video in whole.videos if len(video.about["values"]) < span]
    if short:
        warn([
            f"{TITLE}: {len(short)} of {len(whole)} clips are shorter than a window of {span:g} frames, the first of "
            f"them {short[0]}: their first and last frames repeat"
        ])  # fmt: skip
    rows = [row for video in whole.videos for row in _rows(video, data, annotation)]
    if split.startswith("train") and annotation == LABEL:
        counts = Counter(row.label for row in rows)
        warn(unseen_class_warnings(TITLE, {name: counts[number] for number, name in enumerate(QUADRANTS)}))
    labels = TARGETS if annotation == TARGET else QUADRANTS
    name = f"{whole.name}/{data.num_frames}x{_stride(data):g}"
    return InMemorySource(name, rows, annotation=annotation, labels=labels)


def open_videos(root: str, split: str) -> AnnotatedVideos:
    """Open the whole clips of a split with all their annotations.

    Raises:
      DataError: as `open_split`.
    """
    folder = records.find(root)
    if folder:
        return _of_records(folder, split)
    whole, problems, notes = _of_files(root, split)
    if problems:
        raise DataError(problems[0])
    warn(notes)
    return whole


def inventory(root: str, split: str) -> Inventory:
    """List every clip of a split, and everything that is wrong with the data set.

    Raises:
      DataError: if there are no clips, or subjects.csv is malformed.
    """
    folder = records.find(root)
    whole, problems, notes = (_of_records(folder, split), [], []) if folder else _of_files(root, split)
    if not folder and (clips := len(find_clips(root))) < CLIPS:
        problems.append(f"{TITLE}: only {clips} clips exist; {CLIPS} are published")
    subjects, targets = Counter(), []
    lengths = [len(video.about["values"]) for video in whole.videos]
    for video in whole.videos:
        subjects[video.about["subject"]] += len(video.about["values"])
        targets += [(valence, arousal) for valence, arousal in video.about["values"]]
    if lengths:
        spread = f"{min(lengths)} to {max(lengths)} per clip, median {np.median(lengths):g}"
        notes = [f"{split} has {sum(lengths)} annotated frames, {spread}; subjects: {len(subjects)}", *notes]
    videos = [
        Listed(video.id, video.video, tuple(quadrant(*values) for values in video.about["values"]))
        for video in whole.videos
    ]
    return Inventory(videos, QUADRANTS, "frames", problems, notes, dict(subjects), targets)


def quadrant(valence: float, arousal: float) -> int:
    """The number of a quadrant in `QUADRANTS`."""
    return (0 if arousal >= 0 else 2) + (1 if valence >= 0 else 0)


DATASET = DatasetSpec(
    title=TITLE,
    layout="[<part>/]<clip>/<frame>.png and <clip>/<clip>.json",
    annotations=(LABEL, TARGET),  # quadrants as classes, or valence and arousal
    splits=SPLITS,
    num_classes=len(QUADRANTS),
    target_names=TARGETS,
    find_annotations=find_annotations,
    open_split=open_split,
    open_videos=open_videos,
    inventory=inventory,  # no `videos`: there are no official folds
)


def _of_files(root: str, split: str) -> tuple[AnnotatedVideos, list[str], list[str]]:
    """The clips of a split, with the problems of all clips, and notes about them."""
    if not find_annotations(root, split):
        raise DataError(
            f"{TITLE}: no <clip>/<clip>.json under {root}, or {split!r} is none of train, val, train1 to "
            f"train{FOLDS} and val1 to val{FOLDS} (one of each per fold)"
        )
    subjects = read_subjects(root)
    clips = [read_clip(folder, subjects) for folder in find_clips(root)]
    folds, wrong = assign_folds(clips, {name: fold for name, (_, fold) in subjects.items()})
    problems = [*wrong, *(problem for clip in clips for problem in clip.problems)]
    notes = subject_warnings(clips, subjects, root)
    unannotated = [clip.name for clip in clips if clip.unannotated]
    if unannotated:
        total = sum(clip.unannotated for clip in clips)
        notes.append(f"{TITLE}: {total} pictures have no annotation and are left out, the first in {unannotated[0]}")
    videos = [
        AnnotatedVideo(
            clip.name,
            FrameWindow(clip.folder, clip.frames, 0, len(clip.frames), FPS),
            {"subject": clip.subject, "fold": folds[clip.subject], "frames": clip.frames, "values": clip.values},
        )
        for clip in clips
        if (folds[clip.subject] == _fold(split)) == _held_out(split)
    ]
    return AnnotatedVideos(f"afew_va/{split}", videos, QUADRANTS), problems, notes


def _of_records(folder: str, split: str) -> AnnotatedVideos:
    """The clips of a split from the folds in records, in the order of the official layout."""
    there = records.splits(folder)
    missing = [name for name in SPLITS if name not in there]
    if missing:
        raise DataError(
            f"the records in {folder} have no {', '.join(missing)}; `vidjax prepare afew_va` writes all folds"
        )
    own = f"fold{_fold(split)}"
    folds = [read_annotated_videos(folder, name, "afew_va") for name in SPLITS if (name == own) == _held_out(split)]
    videos = sorted((video for fold in folds for video in fold.videos), key=lambda video: video.id)
    return AnnotatedVideos("+".join(fold.name for fold in folds), videos, QUADRANTS)


def _fold(split: str) -> int:
    return int(re.sub(r"\D", "", split) or 1)


def _held_out(split: str) -> bool:
    return not split.startswith("train")


def _stretch(video: AnnotatedVideo, first: int, count: int) -> FrameWindow | StoredVideo:
    if isinstance(video.video, str):
        raise DataError(f"{TITLE}: {video.id} is one file, but must be a folder of frames or a record")
    return dataclasses.replace(video.video, first=first, count=count)


def _stride(data: DataConfig) -> float:
    """Frames of a video from one frame of a clip to the next."""
    return FPS / data.fps if data.fps else data.stride


def _rows(video: AnnotatedVideo, data: DataConfig, annotation: str) -> list[Row]:
    before, count = round(data.num_frames // 2 * _stride(data)), max(1, round(data.num_frames * _stride(data)))
    about = video.about
    return [
        Row(
            _stretch(video, place - before, count),
            0 if annotation == TARGET else quadrant(valence, arousal),
            f"{video.id}/{about['frames'][place]}",
            target=(valence / LIMIT, arousal / LIMIT) if annotation == TARGET else (),
            group=about["subject"],
        )
        for place, (valence, arousal) in enumerate(about["values"])
    ]
