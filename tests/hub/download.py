"""Download public files into the hub's cache, or from an address into a folder beside it; plan downloads first."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import itertools
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants

from vidjax.errors import WeightsError
from vidjax.weights import hub

TIMEOUT_S = 60
_NAMED_SHA256 = re.compile(r"/([0-9a-f]{64})/")


@dataclasses.dataclass(frozen=True)
class Planned:
    """What is known about a download in advance.

    Attributes:
      revision: a commit of the hub; for an address, the server's version of the file.
      size: total bytes; None if unknown.
      present: bytes that are already here.
    """

    revision: str = ""
    size: int | None = None
    present: int = 0


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A finished download: the file or folder, its revision, and the bytes that are read from it."""

    path: Path
    revision: str
    size: int
    seconds: float


def plan(source: str) -> Planned:
    """Plan the download of a source.

    Raises:
      WeightsError: if it is unavailable.
    """
    if constants.HF_HUB_OFFLINE:
        here = fetch(source)
        return Planned(here.revision, here.size, here.size)
    return _plan_address(source) if source.startswith("https://") else _plan_hub(source)


def fetch(source: str) -> Fetched:
    """Download a source, or find it in the cache; an interrupted download is resumed.

    Raises:
      WeightsError: if it is unavailable.
    """
    start = time.perf_counter()
    if source.startswith("https://"):
        path, revision = _fetch_address(source)
        size = path.stat().st_size
    else:
        path = hub.fetch(source)
        revision = next((after for before, after in itertools.pairwise(path.parts) if before == "snapshots"), "")
        files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
        size = sum(file.stat().st_size for file in files)
    return Fetched(path, revision, size, time.perf_counter() - start)


def fetch_extra(repository: str, name: str, kind: str = "model") -> Path | None:
    """A small file that published numbers need; None if it is unavailable."""
    try:
        return Path(huggingface_hub.hf_hub_download(repository, name, repo_type=kind))
    except Exception:  # of the HTTP client that the hub's package has
        return None


def _plan_hub(source: str) -> Planned:
    file = hub.FILE.match(source)
    repository, names = (file[1], [file[2]]) if file else (source, [])
    try:
        info = huggingface_hub.HfApi().model_info(repository, files_metadata=True, timeout=TIMEOUT_S)
    except Exception as error:  # of the HTTP client that the hub's package has
        raise WeightsError(f"the hub does not describe {repository} ({_first_line(error)})") from error
    sizes = {found.rfilename: found.size or 0 for found in info.siblings or ()}
    if not names:
        weights = next((p for p in hub.WEIGHTS if fnmatch.filter(sizes, p)), "")
        names = [name for pattern in (*hub.JSON_FILES, weights) for name in fnmatch.filter(sizes, pattern)]
    here = [name for name in names if isinstance(huggingface_hub.try_to_load_from_cache(repository, name), str)]
    return Planned(info.sha or "", sum(sizes.get(name, 0) for name in names), sum(sizes.get(name, 0) for name in here))


def place_of(address: str, home: Path) -> Path:
    """The path that the file of an address is kept at: under its name, in a folder named after the whole address."""
    name = address.partition("?")[0].rpartition("/")[2]
    return home / "vidjax" / hashlib.sha256(address.encode()).hexdigest()[:12] / name


def _place(address: str) -> Path:
    return place_of(address, Path(constants.HF_HOME))


def _plan_address(address: str) -> Planned:
    place = _place(address)
    if place.exists():
        return Planned(size=place.stat().st_size, present=place.stat().st_size)
    try:
        with urllib.request.urlopen(_request(address, method="HEAD"), timeout=TIMEOUT_S) as answer:
            size = answer.headers.get("Content-Length")
            return Planned(answer.headers.get("ETag", "").strip('"'), int(size) if size else None)
    except OSError as error:
        raise WeightsError(f"{address} cannot be reached ({_first_line(error)})") from error


def _fetch_address(address: str) -> tuple[Path, str]:
    place = _place(address)
    if place.exists():
        return place, _sha256(place)
    if constants.HF_HUB_OFFLINE:
        raise WeightsError(f"{address} is not in {place.parent}, and HF_HUB_OFFLINE forbids downloading it")
    try:
        _download(address, place)
    except OSError as error:
        raise WeightsError(f"{address} cannot be fetched ({_first_line(error)})") from error
    expected, revision = _NAMED_SHA256.search(address), _sha256(place)
    if expected and revision != f"sha256:{expected[1]}":
        place.unlink()
        raise WeightsError(f"{address} has {revision}, which is another file; it was removed: fetch it again")
    return place, revision


def _download(address: str, place: Path) -> None:
    """Download into a draft, which a later call resumes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f"{place.name}.part")
    have = draft.stat().st_size if draft.exists() else 0
    request = _request(address)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing is left to fetch
            raise
        draft.replace(place)
        return
    with answer, draft.open("ab" if answer.status == 206 else "wb") as file:
        while block := answer.read(1 << 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        length = answer.headers.get("Content-Length")
        if length and file.tell() != int(length) + (have if answer.status == 206 else 0):
            raise OSError(f"the connection ended after {file.tell()} bytes; run the command again to resume")
    draft.replace(place)


def _request(address: str, method: str = "GET") -> urllib.request.Request:
    return urllib.request.Request(address, headers={"User-Agent": "vidjax"}, method=method)


def _sha256(place: Path) -> str:
    with place.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
