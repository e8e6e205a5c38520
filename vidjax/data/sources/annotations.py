"""The annotations that rows carry for a task, such as a label, a target or intervals, and their arrays in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vidjax.data.sources.rows import Interval, Row

LABEL, TARGET, ACTION, INTERVALS, CAPTIONS = "label", "target", "action", "intervals", "captions"
NOTHING = ""  # for rows that are only videos, and for tasks that learn from videos alone

Seconds = tuple[float, float] | None


@dataclass(frozen=True)
class Annotation:
    """A kind of annotation, and its array in a training batch.

    Attributes:
      key: the array's key in the batch.
      dtype: the array's type.
      shape: (outputs, tokens) -> shape of the array for one row, given the number of outputs (classes, or components of
        a target) and of a caption's tokens.
      array: (row, seconds, outputs, rng) -> the array for one row, or None when the row has none.
      of_clip: whether the array depends on the seconds of the video that a clip shows.
    """

    key: str
    dtype: type
    shape: Callable[[int, int], tuple[int, ...]]
    array: Callable[[Row, Seconds, int, np.random.Generator], np.ndarray | None]
    of_clip: bool = False


def batch_arrays(
    annotation: str, row: Row, seconds: Seconds, num_outputs: int, repeats: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the annotation's array for one row under its key, repeated for each of `repeats` clips.

    Args:
      annotation: a name in `ANNOTATIONS`, or `NOTHING`, which has no array.
      seconds: the part of the video that the clips show; None for all of it.
      rng: picks one of several captions.
    """
    if annotation == NOTHING:
        return {}
    found = ANNOTATIONS[annotation]
    array = found.array(row, seconds, num_outputs, rng)
    return {} if array is None else {found.key: np.repeat(array[None], repeats, axis=0)}


def is_of_clip(annotation: str) -> bool:
    """Whether the array of an annotation depends on the seconds that a clip shows; False for `NOTHING`."""
    return annotation != NOTHING and ANNOTATIONS[annotation].of_clip


def window_labels(intervals: Iterable[Interval], window: Seconds, num_classes: int) -> Float[np.ndarray, " classes"]:
    """An array with 1 for each class that has an interval overlapping the window, else 0, as in Charades' protocol.

    Args:
      window: (start, end) in seconds, with the end excluded; an interval that only touches a window does not overlap
        it. None for the whole video.
    """
    labels = np.zeros(num_classes, np.float32)
    for start, end, number in intervals:
        if window is None or (start < window[1] and (end > window[0] or start == end == window[0])):
            labels[number] = 1
    return labels


def _label(row: Row, seconds: Seconds, num_outputs: int, rng: np.random.Generator) -> np.ndarray:
    del seconds, num_outputs, rng
    return np.asarray(row.label, np.int32)


def _target(row: Row, seconds: Seconds, num_outputs: int, rng: np.random.Generator) -> np.ndarray:
    del seconds, num_outputs, rng
    return np.asarray(row.target, np.float32)


def _action(row: Row, seconds: Seconds, num_outputs: int, rng: np.random.Generator) -> np.ndarray:
    del seconds, num_outputs, rng
    return np.asarray(row.action, np.int32)


def _labels_seen(row: Row, seconds: Seconds, num_outputs: int, rng: np.random.Generator) -> np.ndarray:
    del rng
    return window_labels(row.intervals, seconds, num_outputs)


def _one_caption(row: Row, seconds: Seconds, num_outputs: int, rng: np.random.Generator) -> np.ndarray | None:
    """Tokens of one of the row's captions; None if they are not tokenised (`vidjax.data.sources.tokenized`)."""
    del seconds, num_outputs
    if not row.tokens:
        return None
    return np.asarray(row.tokens[int(rng.integers(len(row.tokens)))], np.int32)


ANNOTATIONS = {
    LABEL: Annotation("label", np.int32, lambda outputs, tokens: (), _label),
    TARGET: Annotation("target", np.float32, lambda outputs, tokens: (outputs,), _target),
    ACTION: Annotation("action", np.int32, lambda outputs, tokens: (2,), _action),
    INTERVALS: Annotation("labels", np.float32, lambda outputs, tokens: (outputs,), _labels_seen, of_clip=True),
    CAPTIONS: Annotation("tokens", np.int32, lambda outputs, tokens: (tokens,), _one_caption),
}
