"""Other processes of the machine read large arrays in place."""

import gc
import multiprocessing
import os
import pathlib
import pickle

import numpy as np
import pytest

from vidjax.data.in_place import LARGE, GrowingBytes, pack, placed, unpack

NUMBERS = np.random.default_rng(0).integers(0, 2**31, LARGE, np.int64).reshape(2, -1)


def open_files():
    return os.listdir("/proc/self/fd")


def look(packed, answers):
    """In another process: report the contents, and whether its memory is that of the file."""
    thing = unpack(packed)
    maps = [line for line in pathlib.Path("/proc/self/maps").read_text().splitlines() if "memfd:vidjax" in line]
    answers.put((float(thing["numbers"].sum()), thing["name"], len(maps), thing["numbers"].flags.writeable))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="arrays travel with the rest here")
def test_another_process_maps_large_arrays_and_receives_the_rest():
    numbers = placed(NUMBERS)  # must live until the other process has read it
    packed = pack({"numbers": numbers, "name": "clip", "few": np.arange(3)})
    assert len(pickle.dumps(packed)) < 2000
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    worker = context.Process(target=look, args=(packed, answers))
    worker.start()
    assert answers.get(timeout=60) == (float(NUMBERS.sum()), "clip", 1, False)
    worker.join()


def test_arrays_that_were_not_placed_are_pickled():
    thing = unpack(pack([NUMBERS, NUMBERS[:, ::2], placed(np.arange(5))]))
    for found, wanted in zip(thing, [NUMBERS, NUMBERS[:, ::2], np.arange(5)], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_placed_array_keeps_its_values_type_and_shape():
    for array in (NUMBERS, NUMBERS.astype(np.uint8), np.zeros((0, 3)), NUMBERS[:, ::2]):
        found = placed(array)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)


def test_bytes_grow_across_the_sharing_threshold():
    for sizes in ([], [1], [LARGE - 1, 1, 5], [3 * LARGE]):
        growing = GrowingBytes()
        for number, size in enumerate(sizes):
            growing.add(bytes([number + 1]) * size)
        wanted = b"".join(bytes([number + 1]) * size for number, size in enumerate(sizes))
        assert growing.array().tobytes() == wanted


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="arrays travel with the rest here")
def test_files_are_closed_with_their_arrays():
    before = len(open_files())
    array = placed(NUMBERS)
    part = array[0, 5:]
    assert len(open_files()) > before
    del array
    np.testing.assert_array_equal(part, NUMBERS[0, 5:])  # kept while any part of it is used
    del part
    gc.collect()
    assert len(open_files()) == before
