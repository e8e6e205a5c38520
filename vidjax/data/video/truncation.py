"""Check whether a file has as many bytes as its container declares; an interrupted download does not."""

from __future__ import annotations

import io
import os
import struct
from typing import BinaryIO, NamedTuple

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18\x53\x80\x67"  # Matroska and WebM
_TS_PACKET = 188
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # its File Properties Object
_UNFINISHED = (0, 2**32 - 1)  # sizes of a chunk of an AVI that its writer has not finished
_PNG = b"\x89PNG\r\n\x1a\n"
_OGG_PAGE = 65307  # bytes, at most
_ASF_LOOKED_AT, _FLV_LOOKED_AT = 1 << 20, 1 << 16  # bytes searched


class Ending(NamedTuple):
    """A file's end compared with the one that its container declares.

    Attributes:
      cut: whether bytes are missing.
      counted: whether the container also declares its number of frames; then missing bytes need not mean missing
        frames.
      open: whether the container does not declare where it ends, so that a cut may go unnoticed.
    """

    cut: bool = False
    counted: bool = False
    open: bool = False


def find_ending(source: str | os.PathLike | bytes) -> Ending:
    """Compare a file with what its container declares.

    MP4 has an index of its frames; fragmented MP4 has an index of its fragments (sidx, mfra) unless it was made for
    streaming. Matroska, AVI, ASF and FLV declare sizes if their writer finished. GIF, PNG and Ogg mark their last
    part. Raw streams, MPEG-TS and formats not listed here may end anywhere. Anything that is not a file, such as a pipe
    that nobody writes to, is not opened.
    """
    if not (isinstance(source, bytes) or os.path.isfile(source)):
        return Ending()
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_TS_PACKET + 1)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide"):
            return _mp4(file, size)
        if head.startswith(_EBML):
            end = _matroska_end(file)
            return Ending(cut=end > size, open=not end)
        if head.startswith(b"RIFF"):
            end = _riff_end(file, size)
            return Ending(cut=end > size, counted=bool(end), open=not end)
        if head[:1] == head[_TS_PACKET:] == b"G":
            return Ending(cut=size % _TS_PACKET != 0, open=True)
        if head.startswith(b"GIF8"):
            file.seek(-min(size, 64), os.SEEK_END)
            return Ending(cut=not file.read().rstrip(b"\0").endswith(b"\0;"))  # end of block, trailer
        if head.startswith(_PNG):
            return Ending(cut=_png_cut_off(file, size))
        if head.startswith(_ASF_HEADER):
            return _asf(file, size)
        if head.startswith(b"FLV"):
            return _flv(file, size)
        if head.startswith(b"OggS"):
            return _ogg(file, size)
    return Ending(open=True)


def is_cut_off(source: str | os.PathLike | bytes) -> bool:
    """Whether a file ends too early; False also if that cannot be determined."""
    return find_ending(source).cut


def _mp4(file: BinaryIO, size: int) -> Ending:
    """Find a top-level box that runs past the end, an index (moov) that was never written, or missing fragments."""
    names, at, fragments_end = list[bytes](), 0, 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0 means up to the end of the file; other values are invalid
            break
        name, start, at = header[4:8], at, at + length
        if name == b"sidx" and not {b"sidx", b"styp", b"moof"} & {*names}:  # of the whole file, not of a segment
            fragments_end = at + _fragments(file, start + 8)
        names.append(name)
    if b"moof" not in names:
        return Ending(cut=at > size or b"moov" not in names, counted=True)
    cut = max(at, fragments_end) > size or b"moov" not in names
    return Ending(cut=cut, open=names[-1] != b"mfra" and not fragments_end)


def _fragments(file: BinaryIO, at: int) -> int:
    """The total size of all fragments according to a segment index (ISO/IEC 14496-12, 8.16.3), in bytes.

    It is 0 for an index with one entry, which may cover only the first fragment.
    """
    file.seek(at)
    fixed = file.read(32)
    first_offset, count, entries = (20, 30, 32) if fixed[:1] == b"\x01" else (16, 22, 24)
    offset = int.from_bytes(fixed[first_offset : count - 2], "big")
    file.seek(at + entries)
    table = file.read(12 * int.from_bytes(fixed[count : count + 2], "big"))
    sizes = [int.from_bytes(table[place : place + 4], "big") & 0x7FFFFFFF for place in range(0, len(table), 12)]
    return offset + sum(sizes) if len(sizes) > 1 else 0


def _riff_end(file: BinaryIO, size: int) -> int:
    """The declared end of the last chunk; an AVI over a gigabyte has several. It is 0 if one of them is unfinished."""
    at, header = 0, b"RIFF"
    while at + 8 <= size and header[:4] == b"RIFF":
        file.seek(at)
        header = file.read(8)
        if header[:4] == b"RIFF":
            length = int.from_bytes(header[4:], "little")
            if length in _UNFINISHED:
                return 0
            at += 8 + length + length % 2
    return at


def _matroska_end(file: BinaryIO) -> int:
    """The declared end of the Segment; 0 if none is declared."""
    file.seek(len(_EBML))
    length, _ = _varint(file)
    file.seek(length, os.SEEK_CUR)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0
    length, unknown = _varint(file)
    return 0 if unknown else file.tell() + length


def _varint(file: BinaryIO) -> tuple[int, bool]:
    """An EBML number, and whether it is the value that means "unknown"."""
    first = (file.read(1) or b"\0")[0]
    width = 9 - first.bit_length()
    value = int.from_bytes(bytes([first & (0xFF >> width)]) + file.read(width - 1), "big")
    return value, value == 2 ** (7 * width) - 1


def _png_cut_off(file: BinaryIO, size: int) -> bool:
    """Whether the final chunk is missing or incomplete."""
    at, name = len(_PNG), b""
    while name != b"IEND" and at < size:
        file.seek(at)
        header = file.read(8)
        at, name = at + 12 + int.from_bytes(header[:4], "big"), header[4:]
    return name != b"IEND" or at > size


def _asf(file: BinaryIO, size: int) -> Ending:
    """Compare with the size in the header, which is 0 if the writer did not finish and is invalid in a broadcast."""
    file.seek(len(_ASF_HEADER))
    header = file.read(min(int.from_bytes(file.read(8), "little"), _ASF_LOOKED_AT))
    at = header.find(_ASF_FILE)
    about = header[at + 24 : at + 24 + 68]
    if at < 0 or len(about) < 68 or about[64] & 1:
        return Ending(open=True)
    stated = int.from_bytes(about[16:24], "little")
    return Ending(cut=not 0 < stated <= size)


def _flv(file: BinaryIO, size: int) -> Ending:
    """Compare with the size in the metadata at the start (onMetaData), an AMF number that may be missing."""
    file.seek(0)
    _, found, value = file.read(_FLV_LOOKED_AT).partition(b"\x00\x08filesize\x00")
    stated = struct.unpack(">d", value[:8])[0] if found and len(value) >= 8 else 0.0
    return Ending(cut=stated > size, open=not stated > 0)


def _ogg(file: BinaryIO, size: int) -> Ending:
    """Check that the last page is whole and is marked as the last (RFC 3533, section 6)."""
    file.seek(-min(size, 2 * _OGG_PAGE), os.SEEK_END)
    rest = file.read()
    page = rest[rest.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 255
    length = 27 + segments + sum(page[27 : 27 + segments])
    return Ending(cut=length > len(page), open=not page[5:6] or not page[5] & 4)
