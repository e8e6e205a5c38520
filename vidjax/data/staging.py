"""Copy videos or records from a bucket to a local folder before reading: random access to a bucket is slow."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import shutil

from vidjax.buckets import download, is_copy, object_checksums
from vidjax.errors import DataError
from vidjax.files import located, write_json
from vidjax.progress import progress

_STAGED = ".staged.json"  # the checksum of every copied file, by relative path
_LOCK = ".staging.lock"
_NOTED_EVERY = 100  # files between two updates of the list


def staged(address: str, folder: str) -> str:
    """Copy everything below an address of a bucket to a local folder; afterwards the folder holds exactly these files.

    Files copied by an earlier call are kept if the bucket still has them, and deleted otherwise. Each copy is checked
    against the store's checksum. One process per host copies while the others wait.

    Returns:
      the absolute path of the folder.

    Raises:
      ConfigError: for an unknown kind of bucket, or one whose package is not installed.
      DataError: when the address holds nothing or cannot be read, the folder is full or holds other files, or a
        file arrives damaged.
    """
    place = pathlib.Path(folder).expanduser().absolute()
    located(address)  # raises the ConfigError
    try:
        wanted = object_checksums(address)
    except Exception as error:  # every store raises its own kinds of error
        raise DataError(f"data.root={address} cannot be read: {str(error) or type(error).__name__}") from error
    if not wanted:
        raise DataError(f"data.root={address} holds nothing; give the address of a folder with videos or records")
    place.mkdir(parents=True, exist_ok=True)
    with (place / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _copy(address, place, wanted)
    return os.fspath(place)


def _copy(address: str, place: pathlib.Path, wanted: dict[str, str]) -> None:
    record = place / _STAGED
    there: dict[str, str] = json.loads(record.read_text()) if record.is_file() else {}
    if not record.is_file() and any(path.name != _LOCK for path in place.iterdir()):
        raise DataError(f"data.stage={place} holds other files; choose an empty folder for the copy of {address}")
    for name in [name for name in there if name not in wanted]:
        (place / name).unlink(missing_ok=True)
        del there[name]
    missing = [name for name, sum in wanted.items() if there.get(name) != sum or not (place / name).is_file()]
    write_json(record, there)
    try:
        with progress(f"copying {address} to {place}", len(missing), unit="files") as advance:
            for name in download(address, place, missing):
                if not is_copy(place / name, wanted[name]):
                    (place / name).unlink()
                    raise DataError(f"{address}/{name} was damaged on its way to {place}; run the command again")
                there[name] = wanted[name]
                advance()
                if len(there) % _NOTED_EVERY == 0:
                    write_json(record, there)
    except DataError:
        raise
    except Exception as error:  # every store raises its own kinds of error
        room = shutil.disk_usage(place).free / 1e9
        raise DataError(f"{address} cannot be copied to {place} ({room:.1f} GB free): {error}") from error
    finally:
        write_json(record, there)
