"""Read the checksums that a store keeps of the objects in a bucket, and copy the objects to a disk.

Any package may import this module. Addresses begin with `gs://` or `s3://`; local paths are not supported.
"""

from __future__ import annotations

import base64
import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from concurrent import futures

_AT_ONCE = 16  # objects copied in parallel
_BLOCK = 2**22  # bytes hashed at a time


def object_checksums(address: str) -> dict[str, str]:
    """Return the store's checksum of every object below an address, by relative path; reads no content.

    The size stands in for a missing checksum.
    """
    system, root = _system(address)
    found = {}
    for path, about in system.find(root, detail=True).items():
        kinds = {"md5": about.get("md5Hash"), "crc32c": about.get("crc32c"), "etag": about.get("ETag")}
        known = next((f"{kind} {value}" for kind, value in kinds.items() if value), "")
        found[path.removeprefix(f"{root}/")] = known or f"{about['size']} bytes"
    return found


def download(address: str, folder: pathlib.Path, names: Iterable[str]) -> Iterator[str]:
    """Copy objects to the same relative paths below a folder, several in parallel.

    Yields:
      The name of each object once its copy is complete.

    Raises:
      Exception: an error of the store's package, or an OSError, for the first object that cannot be copied.
    """
    system, root = _system(address)

    def copy(name: str) -> str:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.part")
        system.get_file(f"{root}/{name}", str(draft))
        draft.replace(target)
        return name

    with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = [pool.submit(copy, name) for name in names]
        try:
            for done in futures.as_completed(waiting):
                yield done.result()
        finally:
            for one in waiting:
                one.cancel()


def is_copy(path: pathlib.Path, checksum: str) -> bool:
    """Whether a local file matches a checksum returned by `object_checksums`.

    Returns True for an ETag, which cannot be checked, because it is not always an MD5.
    """
    kind, _, value = checksum.partition(" ")
    if value == "bytes":
        return path.stat().st_size == int(kind)
    if kind == "md5":
        found = hashlib.md5(usedforsecurity=False)
    elif kind == "crc32c":
        import google_crc32c  # comes with gcsfs

        found = google_crc32c.Checksum()
    else:
        return True
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return base64.b64encode(found.digest()).decode() == value


def _system(address: str):
    import fsspec

    system, root = fsspec.core.url_to_fs(address)
    system.invalidate_cache()
    return system, root
