"""Sizes of arrays in bytes, from their types in the text of a compiled program."""

from __future__ import annotations

import math
import re

ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_IN_CORE = re.compile(r"\w+\[[\d,]*\]\{[^}]*S\([1-9]\)[^}]*\}")  # an array outside the main memory


def sizes(shape: str) -> list[int]:
    """Return the bytes of each array in an instruction's result."""
    return [
        math.prod(map(int, filter(None, dims.split(",")))) * _width(dtype) // 8 for dtype, dims in ARRAY.findall(shape)
    ]


def main_memory_bytes(shape: str) -> int:
    """Return the bytes of an instruction's result in main memory, without arrays in a core's memory."""
    return sum(sizes(_IN_CORE.sub("", shape)))


def _width(dtype: str) -> int:
    """Return the bits per element, such as 16 for bf16 or 8 for f8e4m3fn."""
    return 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
