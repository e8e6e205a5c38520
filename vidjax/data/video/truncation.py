"""Whether a file holds as many bytes as its own container says; a download that stopped early does not."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18\x53\x80\x67"  # Matroska and WebM
_TS_PACKET = 188


def is_cut_off(source: str | os.PathLike | bytes) -> bool:
    """True when an MP4, Matroska, AVI, MPEG-TS or GIF ends too early; False when it does not or cannot be told.

    What is no file, such as a pipe that nobody writes to, is not opened.
    """
    if not (isinstance(source, bytes) or os.path.isfile(source)):
        return False
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_TS_PACKET + 1)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide"):
            return _mp4_cut_off(file, size)
        if head.startswith(_EBML):
            return _matroska_end(file) > size
        if head.startswith(b"RIFF"):
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[:1] == head[_TS_PACKET:] == b"G":
            return size % _TS_PACKET != 0
        if head.startswith(b"GIF8"):
            file.seek(-min(size, 64), os.SEEK_END)
            return not file.read().rstrip(b"\0").endswith(b";")
    return False


def _mp4_cut_off(file: BinaryIO, size: int) -> bool:
    """A top-level box runs past the end, or the index (moov) was never written."""
    names, at = set(), 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0: to the end of the file; else nonsense
            break
        names.add(header[4:8])
        at += length
    return at > size or b"moov" not in names


def _matroska_end(file: BinaryIO) -> int:
    """Where the Segment says it ends; 0 if it does not say."""
    file.seek(len(_EBML))
    length, _ = _varint(file)
    file.seek(length, os.SEEK_CUR)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0
    length, unknown = _varint(file)
    return 0 if unknown else file.tell() + length


def _varint(file: BinaryIO) -> tuple[int, bool]:
    """An EBML number, and whether it is the one that stands for unknown."""
    first = (file.read(1) or b"\0")[0]
    width = 9 - first.bit_length()
    value = int.from_bytes(bytes([first & (0xFF >> width)]) + file.read(width - 1), "big")
    return value, value == 2 ** (7 * width) - 1
