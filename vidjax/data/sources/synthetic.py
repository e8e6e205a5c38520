"""A data set without files: the loader generates random frames, to time everything except decoding."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8

from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id

_ROWS = 1024
_CLASSES = 10


class SyntheticSource(VideoSource):
    """1024 rows that cycle through the classes."""

    def __init__(self, split: str, num_classes: int = 0):
        self.name, self.num_classes = split, num_classes or _CLASSES
        self.content_id = content_id(["synthetic", split, self.num_classes])

    def __len__(self) -> int:
        return _ROWS

    def __getitem__(self, index: int) -> Row:
        return Row(None, index % self.num_classes, f"synthetic/{self.name}/{index}")

    def row_labels(self) -> Int64[np.ndarray, " rows"]:
        return np.arange(_ROWS) % self.num_classes


def noise(num_frames: int, size: tuple[int, int], rng: np.random.Generator) -> UInt8[np.ndarray, "t h w c"]:
    """Frames of random bytes, of size (height, width)."""
    shape = (num_frames, *size, 3)
    return np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8).reshape(shape)
