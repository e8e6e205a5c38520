"""A cheap fingerprint of the weights at a path, to notice that another host has different weights."""

from __future__ import annotations

import os
import pathlib
import zlib
from collections.abc import Mapping

from vidjax.buckets import object_checksums
from vidjax.files import Place, in_bucket, located
from vidjax.weights.checksums import MANIFEST
from vidjax.weights.run_files import CHECKPOINTS, CONFIG, is_run

_BLOCKS, _BLOCK = 16, 2**16  # blocks read from each file, evenly spread, and their size in bytes


def content_of(source: str) -> str:
    """Describe the weights at a path in a few words, so that different weights are noticed.

    The description contains a checksum. For a run, it covers the configuration and the manifests of the checkpoints,
    which hold the checksums of all files. For other files in a bucket, it covers the store's checksums. For files on
    disk, it covers their sizes and evenly spread blocks of their content.

    Args:
      source: as for `vidjax.from_pretrained`.

    Returns:
      text such as "checkpoints 5, 10 (5b1d09e2)" or "3 files (77ac2f01)"; empty if the path does not exist, as for a
      hub id.
    """
    place = located(os.path.expanduser(source))
    if is_run(place):
        steps = sorted((path for path in (place / CHECKPOINTS).glob("*") if path.name.isdigit()), key=_number)
        parts = {step.name: _read(step / MANIFEST) for step in steps}
        return f"checkpoints {', '.join(parts)} ({_checksum(parts | {CONFIG: _read(place / CONFIG)})})"
    if in_bucket(place):
        parts = {name: said.encode() for name, said in object_checksums(os.fspath(place)).items()}
    else:
        local = pathlib.Path(place)
        files = [path for path in (local, *local.rglob("*")) if path.is_file()]
        parts = {path.relative_to(local).as_posix(): _sample(path) for path in files}
    return f"{len(parts)} file{'s' * (len(parts) > 1)} ({_checksum(parts)})" if parts else ""


def _number(step: Place) -> int:
    return int(step.name)


def _read(path: Place) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _sample(path: pathlib.Path) -> bytes:
    """Read a file's size and evenly spread blocks of its content; a small file is read completely."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        last, found = max(size - _BLOCK, 0), [f"{size} ".encode()]
        for start in sorted({last * number // (_BLOCKS - 1) for number in range(_BLOCKS)}):
            file.seek(start)
            found.append(file.read(_BLOCK))
    return b"".join(found)


def _checksum(parts: Mapping[str, bytes]) -> str:
    found = 0
    for name, content in sorted(parts.items()):
        found = zlib.crc32(content, zlib.crc32(f"{name} {len(content)} ".encode(), found))
    return f"{found:08x}"
