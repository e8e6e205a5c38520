"""The header of a feature store, which describes its backbone, data and clips.

It is the file `features.json` in the store's folder, beside the parts (`vidjax.evaluation.features.parts`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from typing import Any

from vidjax.data.clips.sampling import SAMPLINGS
from vidjax.data.sources.annotations import TARGET
from vidjax.errors import DataError, ResumeError
from vidjax.files import Place, write_json

HEADER = "features.json"
DTYPES = ("float16", "float32")
_FORMAT, _WINDOWED = 3, 4  # numbers of the formats for one central view per row, and for windows
_DATA = {
    "split": "split",
    "annotation": "annotation",
    "content of the data set": "content_id",
    "number of rows": "num_rows",
}


@dataclasses.dataclass(frozen=True)
class Header:
    """The description of a store's features.

    Attributes:
      backbone: source and family, for readers, and the digest of the weights and spec.
      data: name, root (or the words that name the videos), labels (names of classes or targets, or None), num_classes,
        split, annotation, content_id and num_rows.
      clip: how the single clip of each video is taken and normalised.
      arrays: shape of one row of each array, by name.
      rows_per_part: rows in each part; the last part may have fewer.
      dtype: dtype of the arrays on disk, one of `DTYPES`.
      windows: `every`, the seconds from the start of one window to the next, and `length`, the seconds that a window
        lasts, or 0 if it is as long as a clip; None for one central view per row.
    """

    backbone: dict[str, str]
    data: dict[str, Any]
    clip: dict[str, Any]
    arrays: dict[str, tuple[int, ...]]
    rows_per_part: int
    dtype: str
    windows: dict[str, float] | None = None

    @property
    def num_rows(self) -> int:
        """The number of rows of the split, with and without features."""
        return self.data["num_rows"]

    @property
    def num_parts(self) -> int:
        """The number of parts of a complete store."""
        return -(-self.num_rows // self.rows_per_part)

    def facts(self) -> dict[str, Any]:
        """Return the flat facts that must be equal for two headers to describe the same features."""
        return {
            "backbone": self.backbone["digest"],
            **{name: self.data[key] for name, key in _DATA.items()},
            **{f"clip.{key}": value for key, value in self.clip.items()},
            **{f"windows.{key}": value for key, value in (self.windows or {}).items()},
            **{f"arrays.{name}": shape for name, shape in self.arrays.items()},
            "rows_per_part": self.rows_per_part,
            "dtype": self.dtype,
        }

    def rows_of(self, part: int) -> range:
        """Return the rows of a part."""
        first = part * self.rows_per_part
        return range(first, min(first + self.rows_per_part, self.num_rows))

    def window_seconds(self, fps: float) -> float:
        """Return the length of a full window in seconds, in a video at `fps` frames per second."""
        if self.windows and self.windows["length"]:
            return self.windows["length"]
        if clip_fps := self.clip.get("fps"):
            return self.clip["num_frames"] / clip_fps
        return self.clip["num_frames"] * SAMPLINGS[self.clip["sampling"]].own_stride(self.clip["stride"], fps) / fps

    def command(self, folder: str | os.PathLike) -> str:
        """Return the command that resumes a store of these features."""
        data, clip = self.data, self.clip
        stride = 0 if SAMPLINGS[clip["sampling"]].whole else "" if clip.get("fps") else clip["stride"]
        options = {"model": self.backbone["source"], "data": data["name"] or data["root"], "root": data["root"]}
        if data["name"] in ("", "folder"):
            options = options | {"data": data["root"], "root": ""}
        options |= {
            "split": data["split"],
            "task": "regression" if data["annotation"] == TARGET else "",
            "stride": stride,
        }
        square = isinstance(clip["image_size"], int)
        options |= {"num-frames": clip["num_frames"], "image-size": clip["image_size"] if square else ""}
        if self.windows:
            options |= {"every": self.windows["every"], "window": self.windows["length"] or ""}
        options |= {"features": ",".join(self.arrays), "dtype": "" if self.dtype == DTYPES[0] else self.dtype}
        if isinstance(data["root"], list):
            options = options | {"split": ""}
        words = [f"--{name} {_quoted(value)}" for name, value in options.items() if value != ""]
        return f"vidjax embed {' '.join(words)} --out {shlex.quote(os.fspath(folder))}"


def _quoted(value: Any) -> str:
    """Quote a value, or each of several values, for a shell."""
    return shlex.join(value) if isinstance(value, list) else shlex.quote(str(value))


def check_same(folder: str | os.PathLike, found: Header, wanted: Header) -> None:
    """Reject a folder with other features.

    Raises:
      ResumeError: if backbone, data, clips, arrays, parts or dtype differ; the message names the differences.
    """
    changed = [f"{name} was {before}, is now {now}" for name, before, now in differences(found, wanted)]
    if changed:
        raise ResumeError(
            f"{folder} holds other features: {'; '.join(changed)}. Choose another folder, or undo these changes to "
            "resume"
        )


def read_header(folder: Place) -> Header | None:
    """Read the header of a folder; None if it has none.

    Raises:
      DataError: if the header is damaged or from another version of vidjax.
    """
    path = folder / HEADER
    if not path.is_file():
        return None
    try:
        tree = json.loads(path.read_text())
        if tree.pop("format") != (_WINDOWED if "windows" in tree else _FORMAT):
            raise DataError(f"{path} is from another version of vidjax; embed into another folder")
        if tree.pop("sha256") != _hash(tree):
            raise ValueError("it is not what was written")
        return Header(**tree | {"arrays": {name: tuple(shape) for name, shape in tree["arrays"].items()}})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a header of features ({type(error).__name__}: {error}); restore it, or embed into another "
            "folder"
        ) from error


def write_header(folder: Place, header: Header) -> None:
    """Write `features.json`; several processes may do so at once."""
    tree = dataclasses.asdict(header)
    if not header.windows:
        del tree["windows"]
    number = _WINDOWED if header.windows else _FORMAT
    write_json(folder / HEADER, {"format": number, **tree, "sha256": _hash(tree)})


def _hash(tree: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def differences(one: Header, other: Header, keys: Sequence[str] = ()) -> list[tuple[str, Any, Any]]:
    """Return differing facts as (name, value in `one`, value in `other`); if `keys` are given, only these facts."""
    ours, theirs = one.facts(), other.facts()
    unlike = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
    for header, facts in ((one, ours), (other, theirs)):
        facts["backbone"] = f"{header.backbone['source']} (weights {facts['backbone'][:8]})"
    chosen = [key for key in unlike if not keys or key.split(".")[0] in keys]
    return [(key, ours.get(key, "not there"), theirs.get(key, "not there")) for key in chosen]
