"""Find the video files that the annotations of a public data set name."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable

from vidjax.data.sources.video_tree import is_video_name
from vidjax.errors import DataError

Index = tuple[list[str], list[int], tuple[str, ...]]  # paths, labels, label names


@dataclasses.dataclass(frozen=True)
class Listing:
    """The videos that the annotations of a split list, and the paths of those that exist.

    Attributes:
      title: title of the data set, for messages.
      rows: (file name without extension, class number) of each listed video.
      names: class names in the order of their numbers.
      found: path of each video on disk, by file name without extension.
      folder, extension: the folder and extension that a missing video should have.
    """

    title: str
    split: str
    rows: list[tuple[str, int]]
    names: tuple[str, ...]
    found: dict[str, str]
    folder: str
    extension: str

    def index(self) -> Index:
        """Return paths, labels and class names of the videos to use; see `locate`."""
        where = {"folder": self.folder, "split": self.split, "extension": self.extension}
        return *locate(self.title, self.rows, self.found, **where), self.names

    def paths(self) -> list[tuple[str, int]]:
        """Return the path of each listed video, even if the file is missing, and its class number."""
        missing = (os.path.join(self.folder, stem + self.extension) for stem, _ in self.rows)
        return [(self.found.get(stem) or path, label) for (stem, label), path in zip(self.rows, missing, strict=True)]


def first_existing(root: str, *names: str) -> str | None:
    """The first of the relative paths that exists under `root`."""
    paths = (os.path.join(root, *name.split("/")) for name in names)
    return next((path for path in paths if os.path.exists(path)), None)


def videos_by_stem(folders: Iterable[str]) -> dict[str, str]:
    """Every video under the folders, by file name without extension; the first in sorted order if a name repeats."""
    found: dict[str, str] = {}
    for folder in folders:
        for parent, children, files in os.walk(folder):
            children.sort()
            for file in sorted(files):
                stem, _ = os.path.splitext(file)
                if is_video_name(file):
                    found.setdefault(stem, os.path.join(parent, file))
    return found


def locate(
    title: str, listed: list[tuple[str, int]], found: dict[str, str], *, folder: str, split: str, extension: str
) -> tuple[list[str], list[int]]:
    """Turn annotated (stem, label) rows into paths and labels.

    Videos vanish from the web. A training split leaves missing videos out, and the log reports how many. A split for
    evaluation keeps them, at the path that they should have, so that they count as wrong.

    Raises:
      DataError: if nothing is listed, or none of it exists.
    """
    if not listed:
        raise DataError(f"{title}: the annotations list no video for split {split!r}")
    present = sum(stem in found for stem, _ in listed)
    if not present:
        raise DataError(
            f"{title}: none of the {len(listed)} videos listed for split {split!r} is under {folder}; "
            f"the first would be {listed[0][0]}{extension}"
        )
    if present < len(listed):
        logging.getLogger("vidjax").warning(
            "%s: %d of the %d videos listed for split %r are missing under %s",
            title, len(listed) - present, len(listed), split, folder,
        )  # fmt: skip
    keep = [row for row in listed if row[0] in found] if split.startswith("train") else listed
    paths = [found.get(stem) or os.path.join(folder, stem + extension) for stem, _ in keep]
    return paths, [label for _, label in keep]
