"""Which frames make a clip: the training samplings and test protocols of VideoMAE (sections 3.1 and 4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Int64

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import ClipRecipe


def train_indices(num_video_frames: int, data: DataConfig, rng: np.random.Generator) -> Int64[np.ndarray, " t"]:
    """Frame numbers of one random training clip.

    `dense` takes every `stride`-th frame of a random window of num_frames * stride (Kinetics pre-training);
    `dense_span` spreads num_frames evenly over such a window, both ends included (Kinetics fine-tuning);
    `segment` takes one random frame from each of num_frames equal segments (Something-Something, TSN).
    A video shorter than the window repeats its last frame (`segment` repeats frames where they fall).

    Args:
      num_video_frames: at least 1.
    """
    return SAMPLINGS[data.sampling].train(num_video_frames, data.num_frames, data.stride, rng)


def eval_indices(num_video_frames: int, recipe: ClipRecipe) -> Int64[np.ndarray, "v t"]:
    """Frame numbers of the test clips of one video.

    Both dense samplings: of every `stride`-th frame of the whole video, `clips` evenly spaced runs of num_frames, the
    first at the start and the last at the end; a single clip lies in the centre. `segment`: from each of num_frames
    equal segments, clip i takes the frame i / clips of the way into it; a single clip takes the middle.

    Args:
      num_video_frames: at least 1.
      recipe: says num_frames, stride, sampling and clips.
    """
    views = SAMPLINGS[recipe.sampling].views
    return views(num_video_frames, recipe.num_frames, recipe.stride, recipe.clips)


def _dense(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    start = rng.integers(0, max(frames - t * stride, 0) + 1)
    return np.minimum(start + stride * np.arange(t), frames - 1)


def _dense_span(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    if frames <= t * stride:
        spread = np.linspace(0, frames, min(frames // stride, t))
        padded = np.concatenate([spread, np.full(t - len(spread), frames)])
        return np.minimum(padded, frames - 1).astype(np.int64)
    end = rng.integers(t * stride, frames + 1)
    return np.minimum(np.linspace(end - t * stride, end, t), end - 1).astype(np.int64)


def _segment(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    del stride  # segments span the whole video
    return np.minimum((np.arange(t) + rng.random(t)) * frames / t, frames - 1).astype(np.int64)


def _dense_views(frames: int, t: int, stride: int, clips: int) -> np.ndarray:
    thinned = np.arange(0, frames, stride)
    last_start = max(len(thinned) - t, 0)
    starts = np.arange(clips) * last_start // (clips - 1) if clips > 1 else np.array([last_start // 2])
    return thinned[np.minimum(starts[:, None] + np.arange(t), len(thinned) - 1)]


def _segment_views(frames: int, t: int, stride: int, clips: int) -> np.ndarray:
    del stride  # segments span the whole video
    into = np.arange(clips) / clips if clips > 1 else np.array([0.5])
    return ((np.arange(t) + into[:, None]) * frames / t).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Which frames make a clip, given a video's number of frames, the clip's, and the stride.

    Attributes:
      train: of one random clip; its last argument is a generator.
      views: of evenly spaced clips of a test; its last argument is how many.
    """

    train: Callable[[int, int, int, np.random.Generator], np.ndarray]
    views: Callable[[int, int, int, int], np.ndarray]


# The choices of data.sampling.
SAMPLINGS = {
    "dense": Sampling(_dense, _dense_views),
    "dense_span": Sampling(_dense_span, _dense_views),
    "segment": Sampling(_segment, _segment_views),
}
