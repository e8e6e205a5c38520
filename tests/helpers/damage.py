"""Ways in which a disk damages a file."""

from pathlib import Path

import numpy as np


def flip(path: Path, rng: np.random.Generator) -> str:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    at, bit = int(rng.integers(len(content))), int(rng.integers(8))
    content[at] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {at}"


def cut(path: Path, rng: np.random.Generator) -> str:
    """Cut off the end, or everything."""
    size = int(rng.integers(path.stat().st_size))
    path.write_bytes(path.read_bytes()[:size])
    return f"cut to {size} bytes"


def zero(path: Path, rng: np.random.Generator) -> str:
    """Overwrite a stretch with zeros, as when a block is lost."""
    content = bytearray(path.read_bytes())
    at, length = int(rng.integers(len(content))), int(rng.integers(1, 513))
    content[at : at + length] = bytes(len(content[at : at + length]))
    path.write_bytes(content)
    return f"{length} zeros at {at}"


def grow(path: Path, rng: np.random.Generator) -> str:
    """Add bytes to the end."""
    added = rng.bytes(int(rng.integers(1, 65)))
    path.write_bytes(path.read_bytes() + added)
    return f"{len(added)} bytes added"


def remove(path: Path, rng: np.random.Generator) -> str:
    """Delete the file."""
    path.unlink()
    return "removed"


WAYS = (flip, flip, cut, zero, grow, remove)


def damage(path: Path, rng: np.random.Generator, ways=WAYS) -> str:
    """Damage a file in one of the ways that apply to it; returns what was done."""
    ways = ways if path.stat().st_size else [way for way in ways if way in (grow, remove)]
    return ways[rng.integers(len(ways))](path, rng)
