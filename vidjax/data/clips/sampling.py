"""Choose the frames of a clip: the training modes and test protocols of each family's authors.

Where authors differ, each protocol has its own name, so that a published recipe uses exactly its authors' frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from vidjax.config import DataConfig
from vidjax.data.clips.by_time import Times, ticks

if TYPE_CHECKING:
    from vidjax.data.clips.recipe import ClipRecipe


def train_indices(
    num_video_frames: int, fps: float, data: DataConfig, rng: np.random.Generator, times: Times | None = None
) -> Int64[np.ndarray, " t"]:
    """Frame numbers of one random training clip.

    `dense` takes every `stride`-th frame of a random window of num_frames * stride frames (VideoMAE's pre-training).
    `dense_span` spreads num_frames evenly over such a window, both ends included (VideoMAE's fine-tuning on Kinetics).
    `dense_loop` takes every `stride`-th frame from any start for which the clip's last frame fits (ViViT).
    `seconds` spreads num_frames evenly over the seconds that num_frames * stride frames take at 30 frames per second,
    whatever the video's own rate (TimeSformer on Kinetics).
    A video shorter than the window repeats its last frame; with `dense_loop` it starts again.

    `segment` takes one random frame from each of num_frames equal segments (TSN). Its variants use other segments:
    `segment_integer` uses segments of a whole number of frames and leaves out the rest at the end of the video; from a
    video with fewer than num_frames frames, it repeats the first (VideoMAE and VideoMamba on Something-Something).
    `segment_rounded` and `segment_middle` divide the video from its first frame to its last at rounded frame numbers;
    each segment includes both of its ends (VideoMamba on Kinetics, TimeSformer on Something-Something).

    With data.fps, the dense modes count in time rather than in frames: they take the frames shown at data.fps
    moments per second, whatever the rate of the video and however unevenly its frames are timed.

    With data.segments above 1, a clip is made of that many shorter clips, as in V-JEPA 2's probes. The video is divided
    into as many equal parts, and each part gives one random short clip. If a part is not longer than a short clip,
    the short clips are evenly spaced instead.

    Args:
      num_video_frames: at least 1.
      fps: frames per second of the video, on average.
      times: for data.fps, the seconds at which each frame is shown and at which the last one ends; None for a constant
        rate.
    """
    sampling = SAMPLINGS[data.sampling]
    if data.fps:
        shown, stride = ticks(num_video_frames, fps, data.fps, times)
        return shown[_train(sampling, len(shown), data, stride, rng)]
    return _train(sampling, num_video_frames, data, sampling.own_stride(data.stride, fps), rng)


def _train(sampling: Sampling, frames: int, data: DataConfig, stride: Any, rng: np.random.Generator) -> np.ndarray:
    """The division into parts follows V-JEPA 2's video_dataset.py:316-364."""
    parts, t = data.segments, data.num_frames // data.segments
    if parts == 1:
        return sampling.train(frames, t, stride, rng)
    part = frames // parts
    if part > t * stride:
        return np.concatenate([first * part + sampling.train(part, t, stride, rng) for first in range(parts)])
    return sampling.views(frames, t, stride, parts).ravel()


def _views(sampling: Sampling, frames: int, recipe: ClipRecipe, stride: Any) -> np.ndarray:
    """Space the short clips of all segments evenly; clip i consists of every `recipe.clips`-th, from the i-th on."""
    parts, t = recipe.segments, recipe.num_frames // recipe.segments
    windows = sampling.views(frames, t, stride, parts * recipe.clips)
    return np.swapaxes(windows.reshape(parts, recipe.clips, t), 0, 1).reshape(recipe.clips, parts * t)


def eval_indices(
    num_video_frames: int, fps: float, recipe: ClipRecipe, times: Times | None = None
) -> Int64[np.ndarray, "v t"]:
    """Frame numbers of the test clips of one video.

    `dense` and `dense_span` keep every `stride`-th frame of the whole video and take `clips` evenly spaced runs of
    num_frames, the first at the start and the last at the end. `dense_loop` takes windows of num_frames * stride
    frames, spaced in the same way. With these three, a single clip lies in the centre. With `seconds`, clip i begins at
    i / clips of the way to the last place where a window fits, so that a single clip starts with the video.

    `segment` and `segment_integer` divide the video into num_frames equal segments, and clip i takes the frame at
    i / clips of the way into each; a single clip takes the middle. `segment_rounded` takes the frame at
    (i + 1) / (clips + 1) of the way into each rounded segment. `segment_middle` takes the middle for a single clip, and
    is `segment_rounded` for several.

    With recipe.segments above 1, segments * clips shorter clips are taken in the same way. Clip i consists of every
    `clips`-th of them, beginning with the i-th.

    Args:
      num_video_frames: at least 1.
      fps, times: as for `train_indices`.
      recipe: its num_frames, segments, stride, fps, sampling and clips are used.
    """
    sampling = SAMPLINGS[recipe.sampling]
    if recipe.fps:
        shown, stride = ticks(num_video_frames, fps, recipe.fps, times)
        return shown[_views(sampling, len(shown), recipe, stride)]
    return _views(sampling, num_video_frames, recipe, sampling.own_stride(recipe.stride, fps))


def _dense(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    start = rng.integers(0, max(frames - t * stride, 0) + 1)
    return np.minimum(start + stride * np.arange(t), frames - 1)


def _dense_views(frames: int, t: int, stride: int, clips: int) -> np.ndarray:
    thinned = np.arange(0, frames, stride)
    last_start = max(len(thinned) - t, 0)
    starts = np.arange(clips) * last_start // (clips - 1) if clips > 1 else np.array([last_start // 2])
    return thinned[np.minimum(starts[:, None] + np.arange(t), len(thinned) - 1)]


def _dense_span(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Source: VideoMAE's kinetics.py:251-265."""
    if frames <= t * stride:
        spread = np.linspace(0, frames, min(frames // stride, t))
        padded = np.concatenate([spread, np.full(t - len(spread), frames)])
        return np.minimum(padded, frames - 1).astype(np.int64)
    end = rng.integers(t * stride, frames)
    return np.minimum(np.linspace(end - t * stride, end, t), end - 1).astype(np.int64)


def _dense_loop(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Source: `sample_sequence` of DMVR, dmvr/processors.py:138."""
    start = rng.integers(max(frames - (t - 1) * stride, 1))
    return (start + stride * np.arange(t)) % frames


def _dense_loop_views(frames: int, t: int, stride: int, clips: int) -> np.ndarray:
    """Source: `sample_linspace_sequence` of DMVR, dmvr/processors.py:93, and `sample_sequence` for a single clip."""
    room = max(frames - t * stride, 0)
    starts = np.linspace(0, room, clips, dtype=np.float32).astype(np.int64) if clips > 1 else np.array([room // 2])
    return (starts[:, None] + stride * np.arange(t)) % frames


def _seconds(frames: int, t: int, stride: float, rng: np.random.Generator) -> np.ndarray:
    """Source: TimeSformer's decoder.py:260 and 383. The start is rounded up: frames before it are not decoded."""
    return _window(frames, t, stride, rng.uniform(0, max(frames - t * stride, 0)))


def _seconds_views(frames: int, t: int, stride: float, clips: int) -> np.ndarray:
    return np.stack([_window(frames, t, stride, max(frames - t * stride, 0) * clip / clips) for clip in range(clips)])


def _window(frames: int, t: int, stride: float, start: float) -> np.ndarray:
    return np.minimum(np.ceil(start) + np.linspace(0, t * stride - 1, t).astype(np.int64), frames - 1).astype(np.int64)


def _segment(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    return np.minimum((np.arange(t) + rng.random(t)) * frames / t, frames - 1).astype(np.int64)


def _segment_views(frames: int, t: int, stride: int, clips: int) -> np.ndarray:
    into, length = np.arange(clips) / clips if clips > 1 else np.array([0.5]), frames / t
    return (length * into[:, None] + length * np.arange(t)).astype(np.int64)


def _integer(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Source: VideoMAE's ssv2.py:251-257, VideoMamba's ssv2.py:587-593."""
    length = frames // t
    return np.arange(t) * length + rng.integers(length, size=t) if length else np.zeros(t, np.int64)


def _rounded(frames: int, t: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Source: VideoMamba's kinetics_sparse.py:241-246, TimeSformer's ssv2.py:225-231."""
    ends = _rounded_ends(frames, t)
    return rng.integers(ends[:-1], ends[1:] + 1)


def _rounded_views(frames: int, t: int, stride: int, clips: int) -> np.ndarray:
    """Source: VideoMamba's kinetics_sparse.py:248-258."""
    step = (frames - 1) / t / (clips + 1)
    into = (step * (np.arange(clips) + 1)).astype(np.int64)
    return np.minimum(_rounded_ends(frames, t)[:-1] + into[:, None], frames - 1)


def _middle_views(frames: int, t: int, stride: int, clips: int) -> np.ndarray:
    """Source: TimeSformer's ssv2.py:225-233, which has a single clip."""
    if clips > 1:
        return _rounded_views(frames, t, stride, clips)
    ends = _rounded_ends(frames, t)
    return (ends[:-1] + ends[1:])[None] // 2


def _rounded_ends(frames: int, t: int) -> np.ndarray:
    """The first and last frames of segments; each segment starts at the end of the one before."""
    return np.round((frames - 1) / t * np.arange(t + 1)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to choose the frames of a clip, given the number of frames of the video and of the clip, and the stride.

    Attributes:
      train: gives one random clip; its last argument is a random generator.
      views: gives evenly spaced test clips; its last argument is their number.
      rate: frames per second at which the stride is counted; 0 to count the video's own frames, whatever their rate.
      whole: whether clips are spread over the whole video, whatever the stride.
      loops: whether a video that is shorter than a clip starts again; otherwise its last frame repeats.
    """

    train: Callable[[int, int, Any, np.random.Generator], np.ndarray]
    views: Callable[[int, int, Any, int], np.ndarray]
    rate: float = 0.0
    whole: bool = False
    loops: bool = False

    def own_stride(self, stride: int, fps: float) -> float:
        """The stride in frames of a video at `fps` frames per second."""
        return stride / self.rate * fps if self.rate else stride


# The choices of data.sampling.
SAMPLINGS = {
    "dense": Sampling(_dense, _dense_views),
    "dense_span": Sampling(_dense_span, _dense_views),
    "dense_loop": Sampling(_dense_loop, _dense_loop_views, loops=True),
    "seconds": Sampling(_seconds, _seconds_views, rate=30.0),
    "segment": Sampling(_segment, _segment_views, whole=True),
    "segment_integer": Sampling(_integer, _segment_views, whole=True),
    "segment_rounded": Sampling(_rounded, _rounded_views, whole=True),
    "segment_middle": Sampling(_rounded, _middle_views, whole=True),
}
