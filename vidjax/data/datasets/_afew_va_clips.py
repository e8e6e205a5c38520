"""The clips of AFEW-VA on disk: their annotations, any faults in these, and the folds of their subjects."""

from __future__ import annotations

import csv
import glob
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidjax.errors import DataError

TITLE = "AFEW-VA"
FOLDS = 5
LIMIT = 10.0  # annotations lie in [-LIMIT, LIMIT]
SUBJECTS = "subjects.csv"
UNKNOWN = "somebody in clip "
_PICTURES = (".png", ".jpg")


@dataclass(frozen=True)
class Clip:
    """A clip.

    Attributes:
      frames: files of the annotated frames, in order; values: (valence, arousal) of each in [-10, 10].
      subject: the person shown.
      problems: sentences about its faults; frames and values leave out the faulty frames.
      unannotated: number of images without an annotation.
    """

    name: str
    folder: str
    frames: tuple[str, ...]
    values: tuple[tuple[float, float], ...]
    subject: str
    problems: tuple[str, ...] = ()
    unannotated: int = 0


def find_clips(root: str) -> list[str]:
    """Find the folders of clips: those with an annotation of the same name, or with images and a number for a name."""
    found = set()
    for level in ("*", "*/*"):
        for folder in glob.glob(os.path.join(glob.escape(root), level, "")):
            folder = folder.rstrip(os.sep)
            if os.path.isfile(_json(folder)) or (os.path.basename(folder).isdecimal() and _pictures(folder)):
                found.add(folder)
    return sorted(found, key=lambda folder: (os.path.basename(folder), folder))


def read_clip(folder: str, subjects: Mapping[str, tuple[str, int]]) -> Clip:
    """Read a clip and describe its faults.

    Args:
      subjects: from `read_subjects`.
    """
    name, path, pictures = os.path.basename(folder), _json(folder), _pictures(folder)
    given = subjects[name][0] if name in subjects else UNKNOWN + name
    if not os.path.isfile(path):
        return Clip(name, folder, (), (), given, (f"{folder} has {len(pictures)} pictures, but no {name}.json",))
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        frames = {key: (float(at["valence"]), float(at["arousal"])) for key, at in sorted(about["frames"].items())}
        actor = str(about.get("actor") or given)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{path} is not an annotation of {TITLE}: {type(error).__name__} {error}"
        return Clip(name, folder, (), (), given, (problem,))
    problems = [] if frames else [f"{path} annotates no frame"]
    missing = [key for key in frames if key not in pictures]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        problems.append(f"{path} annotates frame {missing[0]}{more}, but {folder} has no {missing[0]}.png")
    outside = [key for key, values in frames.items() if not all(-LIMIT <= value <= LIMIT for value in values)]
    if outside:
        more = f" ({len(outside) - 1} more frames are out of range)" if len(outside) > 1 else ""
        problems.append(
            f"{path}: frame {outside[0]} has valence and arousal {frames[outside[0]]}, outside of -10 to 10{more}"
        )
    right = [key for key in frames if key not in {*missing, *outside}]
    return Clip(
        name, folder, tuple(pictures[key] for key in right), tuple(frames[key] for key in right),
        given if name in subjects else actor, tuple(problems), len(pictures.keys() - frames.keys()),
    )  # fmt: skip


def read_subjects(root: str) -> dict[str, tuple[str, int]]:
    """Subject and fold (0: any) of each clip in subjects.csv.

    Raises:
      DataError: for a malformed line, or a clip that is listed twice.
    """
    path = os.path.join(root, SUBJECTS)
    if not os.path.isfile(path):
        return {}
    found: dict[str, tuple[str, int]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.reader(file), 1):
            if not line or line[0] == "clip":
                continue
            if len(line) not in (2, 3) or (len(line) == 3 and not line[2].strip().isdecimal()):
                raise DataError(f"{path}, line {number}: {','.join(line)!r} is not `clip,subject[,fold]`")
            clip = line[0].strip()
            if clip in found:
                raise DataError(f"{path}, line {number}: clip {clip} is listed twice; keep one line")
            found[clip] = (line[1].strip(), int(line[2]) if len(line) == 3 else 0)
    return found


def assign_folds(clips: Sequence[Clip], fixed: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """Assign a fold from 1 to 5 to every subject.

    A given fold is kept. Then the other subjects, those with the most frames first, each join the fold with the fewest
    frames so far.

    Args:
      fixed: fold of each clip, 0 where none is given.

    Returns:
      the folds, and a sentence for each clip whose given fold is invalid: not one of the five, or different from that
      of an earlier clip with the same subject.
    """
    folds: dict[str, int] = {}
    problems = []
    sizes, frames = np.zeros(FOLDS, int), defaultdict(int)
    for clip in clips:
        frames[clip.subject] += len(clip.frames)
        fold = fixed.get(clip.name, 0)
        if not 0 <= fold <= FOLDS:
            problems.append(f"{TITLE}: clip {clip.name} is in fold {fold}; folds are 1 to {FOLDS}")
        elif fold and folds.setdefault(clip.subject, fold) != fold:
            problems.append(
                f"{TITLE}: subject {clip.subject!r} is in folds {folds[clip.subject]} and {fold} (clip {clip.name}); "
                "give all clips of a subject the same fold"
            )
    for subject, fold in folds.items():
        sizes[fold - 1] += frames[subject]
    for subject in sorted(frames, key=lambda name: (-frames[name], name)):
        if subject not in folds:
            folds[subject] = int(sizes.argmin()) + 1
            sizes[folds[subject] - 1] += frames[subject]
    return folds, problems


def subject_warnings(clips: Sequence[Clip], subjects: Mapping[str, tuple[str, int]], root: str) -> list[str]:
    """Sentences about clips without a named subject, and about lines of subjects.csv for clips that do not exist."""
    path, sentences = os.path.join(root, SUBJECTS), []
    alone = [clip.name for clip in clips if clip.subject.startswith(UNKNOWN)]
    if alone:
        sentences.append(
            f"{TITLE}: {len(alone)} of {len(clips)} clips do not name their subject, the first of them {alone[0]}; "
            f"each counts as a separate subject. Name subjects in {path}"
        )
    gone = sorted(subjects.keys() - {clip.name for clip in clips})
    if gone:
        sentences.append(f"{path} names {len(gone)} clips that do not exist, the first of them {gone[0]}")
    return sentences


def _json(folder: str) -> str:
    return os.path.join(folder, f"{os.path.basename(folder)}.json")


def _pictures(folder: str) -> dict[str, str]:
    """File names of a folder's images by their stem."""
    files = (os.path.splitext(file) for file in sorted(os.listdir(folder)))
    return {
        stem: stem + extension for stem, extension in files if extension in _PICTURES and re.fullmatch(r"\d+", stem)
    }
