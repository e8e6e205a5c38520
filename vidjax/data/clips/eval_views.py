"""The test views of one video: several clips in time, several crops of each; of all of it or of windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Int64, UInt8

from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.sources.annotations import Seconds
from vidjax.data.video.readers import OpenVideo, VideoPlace, open_video
from vidjax.errors import VideoError

_FRAMES_AT_ONCE = 128  # decoded together for windows that follow each other


def protocol_views(source: VideoPlace, recipe: ClipRecipe, window: Seconds = None) -> UInt8[np.ndarray, "v t h w 3"]:
    """Decode the recipe.clips x recipe.crops views of a video, all crops of the first clip first.

    Args:
      source: a path, the bytes of a file, a folder's frames, or a place in records.
      window: that the views are taken from.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    with open_video(source) as video:
        [views] = window_views(video, recipe, [window])
    return views


def window_views(
    video: OpenVideo, recipe: ClipRecipe, windows: Sequence[Seconds]
) -> Iterator[UInt8[np.ndarray, "v t h w 3"]]:
    """The views of each window, as `protocol_views` gives them, from one opened video.

    Windows that follow each other are decoded together, each of their frames once.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    spans = (span(video, window) for window in windows)
    for block in _blocks([first + eval_indices(count, video.fps, recipe) for first, count in spans]):
        wanted, places = np.unique(block, return_inverse=True)
        crops = eval_crops(video.read(wanted), recipe)
        for clips in places.reshape(block.shape):
            yield rearrange(crops[:, clips], "crop clip t h w c -> (clip crop) t h w c")


def too_short(name: str, video: OpenVideo, recipe: ClipRecipe) -> str:
    """A sentence when a clip is longer than a video and so repeats frames of it; empty when it is not.

    Raises:
      VideoError: when the video is a picture.
    """
    if video.frames == 1:
        raise VideoError("not_video", f"{name} is a single picture; give a video")
    if video.frames >= (needed := recipe.span(video.fps)):
        return ""
    repeated = "it starts again" if recipe.loops else "its last frame is repeated"
    return f"{name} has {video.frames} frames, a clip spans {needed}; {repeated}"


def span(video: OpenVideo, window: Seconds) -> tuple[int, int]:
    """First frame and number of frames of a window in seconds, at least one; of the whole video without a window."""
    if window is None:
        return 0, video.frames
    first = min(max(round(window[0] * video.fps), 0), video.frames - 1)
    return first, max(1, min(round(window[1] * video.fps), video.frames) - first)


def _blocks(windows: Sequence[Int64[np.ndarray, "clips t"]]) -> Iterator[Int64[np.ndarray, "w clips t"]]:
    """Windows in groups that are decoded together."""
    block: list[np.ndarray] = []
    for indices in windows:
        if block and len(np.unique([*block, indices])) > _FRAMES_AT_ONCE:
            yield np.stack(block)
            block = []
        block.append(indices)
    if block:
        yield np.stack(block)
