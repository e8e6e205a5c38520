"""Arrays that all loader processes of a machine read in place, instead of each receiving a copy.

Large arrays are kept in anonymous files (memfd). Loader processes open them under /proc, as descriptors of the process
that created them. Nothing is left behind when that process is killed, and /dev/shm, which containers keep small, is
not needed. Where memfd does not exist, arrays are pickled with everything else.
"""

from __future__ import annotations

import mmap
import os
import pickle
import weakref
from typing import Any

import cloudpickle
import numpy as np
from jaxtyping import Shaped, UInt8

LARGE = 2**20  # arrays of at least this many bytes are shared
_files: dict[int, tuple[int, int]] = {}  # by the address of a shared array: its file descriptor and its size in bytes

Packed = tuple[bytes, list[tuple[str, int] | bytes]]


class GrowingBytes:
    """A byte array that grows by appending, and is shared once it is large."""

    def __init__(self):
        self._file, self._few = -1, bytearray()

    def add(self, more: bytes) -> None:
        """Append bytes."""
        self._few += more
        if len(self._few) >= LARGE and hasattr(os, "memfd_create"):
            self._flush()

    def array(self) -> UInt8[np.ndarray, " bytes"]:
        """The bytes as an array; nothing may be added afterwards."""
        if self._file < 0:
            return np.frombuffer(self._few, np.uint8)
        self._flush()
        return _mapped(self._file)

    def _flush(self) -> None:
        if self._file < 0:
            self._file = os.memfd_create("vidjax")
        view = memoryview(self._few)
        while view:
            view = view[os.write(self._file, view) :]
        self._few = bytearray()


def placed(array: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Copy a large array to where loader processes can read it in place; return a small one unchanged."""
    if array.nbytes < LARGE or not hasattr(os, "memfd_create"):
        return array
    grown = GrowingBytes()
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for at in range(0, len(flat), LARGE):
        grown.add(flat[at : at + LARGE].tobytes())
    return grown.array().view(array.dtype).reshape(array.shape)


def pack(thing: Any) -> Packed:
    """Pickle an object for other processes of this machine; valid while this process and the object's arrays live."""
    arrays: list[pickle.PickleBuffer] = []
    pickled = cloudpickle.dumps(thing, protocol=5, buffer_callback=arrays.append)
    return pickled, [_place(array.raw()) for array in arrays]


def unpack(packed: Packed) -> Any:
    """Unpickle an object packed by `pack`; its arrays are read-only if they were contiguous."""
    pickled, places = packed
    return pickle.loads(pickled, buffers=[place if isinstance(place, bytes) else _opened(*place) for place in places])


def _place(array: memoryview) -> tuple[str, int] | bytes:
    number, size = _files.get(_address(array), (-1, 0))
    if size != array.nbytes:
        return bytes(array)
    return f"/proc/{os.getpid()}/fd/{number}", size


def _opened(path: str, size: int) -> mmap.mmap:
    file = os.open(path, os.O_RDONLY)
    try:
        return mmap.mmap(file, size, access=mmap.ACCESS_READ)
    finally:
        os.close(file)


def _mapped(file: int) -> UInt8[np.ndarray, " bytes"]:
    memory = mmap.mmap(file, os.fstat(file).st_size)
    array = np.frombuffer(memory, np.uint8)
    _files[_address(memory)] = file, len(array)
    weakref.finalize(memory, _forget, _address(memory), file)
    return array


def _forget(address: int, file: int) -> None:
    del _files[address]
    os.close(file)


def _address(memory: memoryview | mmap.mmap) -> int:
    return np.frombuffer(memory, np.uint8).ctypes.data
