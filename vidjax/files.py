"""Files that appear whole: a reader sees the old content or the new one, never half of it.

Usable from every room; the caller decides which process writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterable
from typing import Any

from vidjax.errors import DataError

DRAFTS = ".*.part"  # the pattern of what a killed process leaves behind


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Write a draft beside `path` and move it there; several processes may do so at once.

    Args:
      content: text is written as UTF-8.

    Raises:
      DataError: when the file cannot be written.
    """
    path = pathlib.Path(path)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written: {error.strerror}") from error


def write_json(path: str | os.PathLike, tree: Any) -> None:
    """Write one JSON value, indented for people."""
    write_whole(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")


def write_json_lines(path: str | os.PathLike, lines: Iterable[Any]) -> None:
    """Write one JSON value per line, in ASCII: text may hold characters that end a line for `str.splitlines`."""
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
