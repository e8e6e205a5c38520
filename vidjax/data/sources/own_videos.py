"""Find a user's own videos in a folder or a list, with their classes and the split of each.

The first of these that a root holds is used: a list for each split (`train.csv`), a folder for each split
(`train/<class>/<video>`), one list, class folders (`<class>/<video>`), or any tree of videos. Where the root does
not define the validation split, a hash of each name does (`vidjax.data.sources.hash_split`). The division depends
only on the root, never on the task, so that a video held out from pre-training stays held out from fine-tuning.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vidjax.config import DataConfig
from vidjax.data.sources.hash_split import held_out
from vidjax.data.sources.texts import Texts
from vidjax.data.sources.video_lists import (
    LABELS_FILE,
    VideoList,
    class_names,
    find_only_list,
    find_split_list,
    is_number,
    read_list,
)
from vidjax.data.sources.video_tree import find_videos, is_video_name, may_be_video, subfolders
from vidjax.data.sources.videos import Entry, Videos
from vidjax.errors import DataError

ALL = "all"  # the split that combines all others
LIST, CLASS_FOLDERS, FOLDERS = "list", "class folders", "folders without classes"
ALIASES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "validate"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class OwnVideos:
    """The videos of a root, by split, with their classes.

    Attributes:
      root: folder that names are relative to.
      layout: LIST, CLASS_FOLDERS or FOLDERS.
      splits: the videos by the name of their split; a split that the root does not have is absent.
      places: for each split, the list or the folder that it was read from; splits may share one.
      hashed: the splits divided by a hash; empty where the root determines the split of each video.
      names: class names in the order of their numbers; empty where there are only numbers, or no classes.
      columns: for lists, the name of the column that holds each item, such as the path or the label.
      unlabelled: why videos have no classes, for a message; empty if they have classes.
      empty: folders without videos beside the class folders; they are not classes.
    """

    root: str
    layout: str
    splits: dict[str, Videos]
    places: dict[str, str]
    hashed: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    unlabelled: str = ""
    empty: tuple[str, ...] = ()

    def labels(self) -> set[str]:
        """All labels that occur."""
        return {label for of in self.splits.values() for labels in of.label_sets() for label in labels}

    def place(self, entry: Entry, split: str) -> str:
        """The line or the file that names a video, for messages."""
        return f"{self.places[split]}, line {entry.line}" if entry.line else os.path.join(self.root, entry.name)


def place_of(root: str, split: str) -> str | None:
    """The list of a split in a root, or else its folder; None if there is neither."""
    names = ALIASES.get(split, (split,))
    if found := find_split_list(root, names):
        return found
    return next((path for name in names if os.path.isdir(path := os.path.join(root, name))), None)


def read_own_videos(root: str, split: str, data: DataConfig, *, divide: bool = True) -> OwnVideos:
    """Find the videos of a root, and divide them into splits where the root does not.

    Args:
      root: the absolute path of a folder or of a list.
      split: the requested split; ALL for every video.
      data: gives the names of the training and the evaluation split, and how to divide.
      divide: whether a hash divides what the root leaves undivided.

    Raises:
      DataError: when the root holds no videos or has no such split, or its lists are malformed.
    """
    if split == ALL:
        first = next((name for name in (data.train_split, data.eval_split) if place_of(root, name)), data.train_split)
        own = read_own_videos(root, first, data)
        splits, places = own.splits | {ALL: _union(own)}, own.places | {ALL: _first(own.places)}
        return dataclasses.replace(own, splits=splits, places=places)
    if os.path.isfile(root):
        return _of_one_list(root, os.path.dirname(root), split, data)
    wanted = tuple(dict.fromkeys((data.train_split, data.eval_split, split)))
    given = {name: place for name in wanted if (place := place_of(root, name))}
    if given:
        if len({os.path.isfile(place) for place in given.values()}) > 1:
            raise DataError(
                f"{' and '.join(given.values())} are a list and a folder; classes are numbered over both splits, so "
                "use lists for both, or folders for both"
            )
        own = _of_split_lists(root, given) if os.path.isfile(_first(given)) else _of_split_folders(root, given, split)
        if divide and data.train_split in own.splits and data.eval_split not in own.splits:
            own = _divided(own, own.splits.pop(data.train_split), data)
        return _checked(own, split)
    only = find_only_list(root)
    if only:
        return _of_one_list(only, root, split, data)
    return _checked(_divided(*_of_folders(root, data), data), split)


def numeric(own: OwnVideos) -> bool:
    """Whether a list gives the classes as numbers."""
    return own.layout == LIST and all(map(is_number, own.labels()))


def _union(own: OwnVideos) -> Videos:
    """The videos of all splits, sorted by name, each once."""
    if own.layout != LIST and own.hashed:  # the splits are parts of one folder
        parts = list(own.splits.values())
        whole = dataclasses.replace(parts[0], names=parts[0].names.whole())
        return whole.take(np.sort(np.concatenate([part.names.rows for part in parts])))
    found = {(entry.name, entry.captions): entry for of in own.splits.values() for entry in of}
    return Videos.of(found[key] for key in sorted(found, key=lambda key: key[0]))


def _checked(own: OwnVideos, split: str) -> OwnVideos:
    """Return the videos after checking that the split has some."""
    if split not in own.splits:
        raise DataError(f"{own.root} has no split {split!r}; it has {', '.join(own.splits)}")
    if not len(own.splits[split]):
        (other,) = set(own.hashed) - {split} or {""}
        if not other or not len(own.splits[other]):
            raise DataError(f"{own.places[split]} holds no videos")
        raise DataError(
            f"{own.root} has nothing for {split}: its videos ({len(own.splits[other])}) cannot be divided, because "
            "there is only one video, one video per class or, with data.split_by=folder, one folder; add videos"
        )
    return own


def _first(given: dict[str, str]) -> str:
    return next(iter(given.values()))


def _of_split_lists(root: str, given: dict[str, str]) -> OwnVideos:
    """Read the lists of splits; classes are numbered over all lists that exist, whichever are requested."""
    others = {name: find_split_list(root, names) for name, names in ALIASES.items() if name not in given}
    places = given | {name: place for name, place in others.items() if place}
    lists = {name: read_list(place, root) for name, place in places.items()}
    return _of_lists(root, {name: listed.videos for name, listed in lists.items()}, list(lists.values()), places)


def _of_one_list(path: str, root: str, split: str, data: DataConfig) -> OwnVideos:
    """Read a list of all videos, divided by its column of splits, or else by a hash."""
    listed = read_list(path, root)
    said = listed.videos.splits.values
    if said == ("",):
        own = _of_lists(root, {}, [listed], {})
        return _checked(_divided(own, listed.videos, data), split)
    called = dict.fromkeys(map(_split_name, said))
    splits = {
        name: listed.videos.take(listed.videos.splits.is_any(lambda written, name=name: _split_name(written) == name))
        for name in called
    }
    own = _of_lists(root, splits, [listed], dict.fromkeys(splits, path))
    if data.train_split in splits and data.eval_split not in splits:
        own = _divided(own, splits.pop(data.train_split), data)
    if split not in own.splits:
        raise DataError(
            f"{path}: its column {listed.columns['split']!r} has {', '.join(said)}, not {split}; set data.train_split "
            "and data.eval_split to names that it has"
        )
    return own


def _split_name(written: str) -> str:
    """The usual name of a split, such as `val` for `validation`."""
    found = written.strip().lower()
    return next((name for name, others in ALIASES.items() if found in others), written.strip())


def _of_lists(root: str, splits: dict[str, Videos], lists: Sequence[VideoList], places: dict[str, str]) -> OwnVideos:
    """Combine lists, with the names of all their classes."""
    columns, sets = dict(lists[0].columns), [labels for listed in lists for labels in listed.videos.labels.values]
    unlabelled = "" if any(sets) else lists[0].unlabelled or "its column of classes is empty"
    names = _names_of(root, lists)
    places = places or dict.fromkeys(("",), lists[0].path)
    return OwnVideos(root, LIST, splits, places, (), names, columns, unlabelled and f"{lists[0].path}: {unlabelled}")


def _names_of(root: str, lists: Sequence[VideoList]) -> tuple[str, ...]:
    """The lines of labels.txt; without that file, the class names in the lists, sorted, or nothing for class numbers.

    Raises:
      DataError: for names mixed with numbers, or a name that is not in labels.txt.
    """
    written = [label for listed in lists for labels in listed.videos.labels.values for label in labels]
    known, numbers = class_names(root), [is_number(label) for label in written]
    if not written or all(numbers):
        return known
    if any(numbers):
        listed, entry, label = _first_with(lists, lambda label: is_number(label) != numbers[0])
        raise DataError(
            f"{listed.path}, line {entry.line}: {label!r} is a class {'name' if numbers[0] else 'number'}, but "
            f"{written[0]!r} before it is not; use only names, or only numbers from 0"
        )
    if known and not set(written) <= set(known):
        listed, entry, label = _first_with(lists, lambda label: label not in known)
        raise DataError(
            f"{listed.path}, line {entry.line}: {LABELS_FILE} has no class {label!r}; add it or correct the line"
        )
    return known or tuple(sorted(set(written)))


def _first_with(lists: Sequence[VideoList], wanted: Callable[[str], bool]) -> tuple[VideoList, Entry, str]:
    """Return the first label for which `wanted` is true (there must be one), with its list and its video."""
    for listed in lists:
        rows = np.flatnonzero(listed.videos.labels.is_any(lambda labels: any(map(wanted, labels))))
        if len(rows):
            entry = listed.videos[int(rows[0])]
            return listed, entry, next(filter(wanted, entry.labels))
    raise ValueError("no label is wanted")


def _of_split_folders(root: str, given: dict[str, str], split: str) -> OwnVideos:
    """Read `train/<class>/<video>`, or `train/` with videos in any other layout, which then have no classes."""
    files = {
        name: Texts.of(find_videos(root, os.path.basename(folder), may_be_video)) for name, folder in given.items()
    }
    outside = (name for found in files.values() for name in found if name.count("/") != 2)
    stray = next(filter(is_video_name, outside), "")
    if stray:
        why = f"{os.path.join(root, stray)} does not lie in a class folder {stray.split('/')[0]}/<class>/"
        splits = {name: Videos.of_files(filter(is_video_name, found)) for name, found in files.items()}
        return OwnVideos(root, FOLDERS, splits, given, unlabelled=why)
    splits = {
        name: Videos.of_files((file for file in found if file.count("/") == 2), folder=1)
        for name, found in files.items()
    }
    wanted = split if split in given else next(iter(given))
    _check_class_folders(given[wanted], splits[wanted])
    return OwnVideos(root, CLASS_FOLDERS, splits, given, names=tuple(subfolders(_first(given))))


def _check_class_folders(folder: str, videos: Videos) -> None:
    """Reject class folders without videos, and a split without class folders."""
    names, filled = subfolders(folder), {label for labels in videos.label_sets() for label in labels}
    if not names:
        raise DataError(f"{folder} has no class folders; put videos into {folder}/<class>/<video>")
    empty = [name for name in names if name not in filled]
    if empty:
        raise DataError(f"the class folder {os.path.join(folder, empty[0])} has no videos; fill it or remove it")


def _of_folders(root: str, data: DataConfig) -> tuple[OwnVideos, Videos]:
    """Read `<class>/<video>`, or a tree of videos without classes."""
    files = Texts.of(find_videos(root))
    if not len(files):
        there = ", ".join(sorted(os.listdir(root))[:8])
        raise DataError(
            f"{root} holds no videos: neither a folder {data.train_split}/ nor a list {data.train_split}.csv nor "
            f"files such as <name>.mp4; it has {there}"
        )
    in_folders = all(file.count("/") == 1 for file in files) and files[0].split("/")[0] != files[-1].split("/")[0]
    places = {"": root}
    if in_folders and data.split_by == "video":
        videos = Videos.of_files(files, folder=0)
        folders = {label for (label,) in videos.label_sets()}
        empty = tuple(name for name in subfolders(root) if name not in folders)
        return OwnVideos(root, CLASS_FOLDERS, {}, places, names=tuple(sorted(folders)), empty=empty), videos
    why = f"{root} does not consist of class folders that directly hold all of its videos"
    if in_folders:
        why = f"with data.split_by=folder, the folders of {root} are scenes to keep together, not classes"
    return OwnVideos(root, FOLDERS, {}, places, unlabelled=why), Videos.of_files(files)


def _divided(own: OwnVideos, videos: Videos, data: DataConfig) -> OwnVideos:
    """Divide `videos` into the training and the evaluation split, unless these are the same split."""
    if data.train_split == data.eval_split:
        whole, place = {data.train_split: videos}, {data.train_split: _first(own.places)}
        return dataclasses.replace(own, splits=own.splits | whole, places=own.places | place)
    single = all(len(labels) == 1 for labels in videos.label_sets())
    classes = videos.label_codes() if single else None
    out = held_out(videos.names, classes, share=data.val_fraction, by=data.split_by)
    sides = (data.train_split, data.eval_split)
    parts = (videos.take(out == side) for side in (False, True))
    place = own.places.get(data.train_split) or _first(own.places)
    splits, places = own.splits | dict(zip(sides, parts, strict=True)), own.places | dict.fromkeys(sides, place)
    return dataclasses.replace(own, splits=splits, places=places, hashed=sides)
