"""Weights in a bucket: copied once into the user's cache folder and read from there."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil

from vidjax.buckets import download, object_checksums
from vidjax.data.text_encoding import FILES
from vidjax.errors import WeightsError
from vidjax.files import Place, in_bucket
from vidjax.weights.checkpoint_contents import encoder_of
from vidjax.weights.hub import JSON_FILES


def downloaded(source: Place) -> pathlib.Path:
    """Return the local path of a checkpoint: a file, with the files that it needs beside it, or a folder.

    A file may need its JSON files, its vocabulary and, if it is a probe of V-JEPA 2, its encoder.

    The name of a cached copy depends on the store's checksums, so files that have changed are copied again.

    Raises:
      WeightsError: if the bucket cannot be read or the disk is full.
    """
    if not in_bucket(source):
        return pathlib.Path(source)
    one_file = source.is_file()
    folder = os.fspath(source.parent if one_file else source)
    beside = (source.name, encoder_of(source.name), *JSON_FILES, *FILES)
    wanted = {
        name: checksum
        for name, checksum in object_checksums(folder).items()
        if "/" not in name and (not one_file or name in beside)
    }
    key = hashlib.sha256(json.dumps([folder, wanted], sort_keys=True).encode()).hexdigest()[:16]
    kept = _cache() / key
    if not kept.is_dir():
        draft = kept.with_name(f".{key}.{os.getpid()}.part")
        try:
            draft.mkdir(parents=True, exist_ok=True)
            list(download(folder, draft, wanted))
            draft.replace(kept)
        except Exception as error:  # each store raises its own classes
            if not kept.is_dir():  # otherwise another process has made it in the meantime
                raise WeightsError(f"{source} cannot be copied to {kept}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return kept / source.name if one_file else kept


def _cache() -> pathlib.Path:
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (pathlib.Path(root) if os.path.isabs(root) else pathlib.Path("~/.cache").expanduser()) / "vidjax" / "weights"
