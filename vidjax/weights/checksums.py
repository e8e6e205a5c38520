"""Checksums of a checkpoint's files: Orbax does not notice a flipped bit, so each step's folder holds a manifest.

On disk, a file's checksum is its SHA-256. In a bucket, it is the store's own, such as the md5 or crc32c in its
metadata, so that files need not be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

from vidjax.buckets import object_checksums
from vidjax.files import Place

MANIFEST = "manifest.json"
_REWRITTEN = ("_CHECKPOINT_METADATA", "commit_success.txt", MANIFEST)  # orbax writes the first two when it commits


def checksums(folder: Place) -> dict[str, str]:
    """Return the checksum of every file below a folder, by relative path."""
    if not isinstance(folder, pathlib.Path):
        return {path: sum for path, sum in object_checksums(os.fspath(folder)).items() if not _is_rewritten(path)}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_rewritten(path.name))
    sums = {}
    for path in files:
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def damaged_files(folder: Place) -> str:
    """Describe the damage to a folder's files, judged by its manifest; empty if there is none."""
    try:
        wanted = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict):
        return f"{MANIFEST} is not readable"
    found = checksums(folder)
    bad = sorted(name for name in wanted if not _is_rewritten(name) and found.get(name) != wanted[name])
    if not bad:
        return ""
    return f"{bad[0]} is {'changed' if bad[0] in found else 'missing'}; {len(bad)} of {len(wanted)} files differ"


def _is_rewritten(path: str) -> bool:
    return path.rsplit("/", 1)[-1] in _REWRITTEN
