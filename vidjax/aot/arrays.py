"""Bytes of arrays, as the text of a compiled program writes their types."""

from __future__ import annotations

import math
import re

ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_IN_CORE = re.compile(r"\w+\[[\d,]*\]\{[^}]*S\([1-9]\)[^}]*\}")  # an array that is not in the main memory


def sizes(shape: str) -> list[int]:
    """Bytes of every array of an instruction's result."""
    return [
        math.prod(map(int, filter(None, dims.split(",")))) * _width(dtype) // 8 for dtype, dims in ARRAY.findall(shape)
    ]


def main_memory_bytes(shape: str) -> int:
    """Bytes of an instruction's result, without what lies in the memory of a core."""
    return sum(sizes(_IN_CORE.sub("", shape)))


def _width(dtype: str) -> int:
    """Bits of an element, such as 16 of bf16 or 8 of f8e4m3fn."""
    return 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
