"""Checksums of a checkpoint's files: Orbax does not notice a flipped bit, so each step's folder holds a manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

MANIFEST = "manifest.json"
_REWRITTEN = ("_CHECKPOINT_METADATA", MANIFEST)  # orbax writes the first again when it commits


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _REWRITTEN)
    sums = {}
    for path in files:
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def damaged_files(folder: Path) -> str:
    """What differs from the manifest, in words; empty when nothing does."""
    try:
        wanted = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except ValueError:
        return f"{MANIFEST} is not readable"
    found = checksums(folder)
    bad = sorted(name for name in wanted if found.get(name) != wanted[name])
    return f"{bad[0]}{' is changed' if bad[0] in found else ' is missing'}, {len(bad)} files in all" if bad else ""
