"""Views of one video for self-distillation, which differ in window, speed and crop.

Source: Ranasinghe et al. 2022 (arXiv:2112.01514), section 3.2, with the values of the authors' `datasets/decoder.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Int64, UInt8

from vidjax.config import DataConfig
from vidjax.data.clips.augment import augment
from vidjax.data.clips.by_time import Times, ticks
from vidjax.data.clips.sampling import SAMPLINGS
from vidjax.data.sources.rows import Row
from vidjax.data.sources.synthetic import noise
from vidjax.data.video.readers import OpenVideo, VideoPlace, open_video
from vidjax.errors import ConfigError

Views = dict[str, UInt8[np.ndarray, "r t s s c"]]
_GLOBALS = 2
_SHIFT = 5  # frames that the first global view omits at the end of the window, and the second at its start


def load_views(
    row: Row,
    data: DataConfig,
    rng: np.random.Generator,
    open: Callable[[VideoPlace], OpenVideo] = open_video,
) -> Views:
    """The uint8 views of a row, keyed as in `data.views`.

    There are data.clips_per_decode clips of each view; they share their frame numbers and differ in crops and colours.
    Global views are cropped by data.crop to data.image_size; local ones use data.local_size and data.local_area.

    Args:
      open: opens a video, like `open_video`.

    Raises:
      VideoError: when the video cannot be decoded.
    """
    if row.video is None:
        frames = None
    else:
        with open(row.video) as video:
            indices = view_indices(video.frames, video.fps, data, rng, video.times if data.fps else None)
            wanted, places = np.unique(np.concatenate(indices), return_inverse=True)
            found, places = video.read(wanted), np.split(places, np.cumsum([len(view) for view in indices])[:-1])
            frames = [found[view] for view in places]
    local = dataclasses.replace(data, image_size=data.local_size, crop_area=data.local_area)
    views = {}
    for number, (name, shape) in enumerate(data.views.items()):
        config = data if number < _GLOBALS else local
        views[name] = np.empty((data.clips_per_decode, *shape), np.uint8)
        for clip in views[name]:
            if frames is None:
                clip[:] = noise(shape[0], shape[1:3], rng)
            else:
                augment(frames[number], config, rng, out=clip)
    return views


def view_indices(
    num_video_frames: int, fps: float, data: DataConfig, rng: np.random.Generator, times: Times | None = None
) -> list[Int64[np.ndarray, " t"]]:
    """Frame numbers of each view, the global ones first.

    All views lie in a random window of num_frames * stride frames (or the whole video, if shorter). With
    data.sampling=seconds, these are frames at 30 per second. With data.fps, the window lasts num_frames / data.fps
    seconds, and frames are counted at moments that are evenly spaced in time. The first global view spreads its frames
    evenly from the start to five frames before the end, the second from five frames after the start to the end; in a
    window of fewer than 20 frames, a quarter of it is left out instead of five frames. Each local view spreads its
    frames over a random part of the window, a fraction data.local_span of it. Views with fewer frames are therefore
    faster.

    Args:
      num_video_frames: at least 1.
      fps, times: as for `train_indices`.
    """
    if data.fps:
        shown, stride = ticks(num_video_frames, fps, data.fps, times)
        by_tick = dataclasses.replace(data, fps=0.0, stride=stride)
        return [shown[view] for view in view_indices(len(shown), fps, by_tick, rng)]
    window = int(data.num_frames * SAMPLINGS[data.sampling].own_stride(data.stride, fps))
    length = min(num_video_frames, max(window, 1))
    start = rng.integers(num_video_frames - length + 1)
    shift, span = min(_SHIFT, length // 4), int(length * data.local_span)
    ranges = [(0, length - shift), (shift, length)]
    for _ in data.local_views:
        first = rng.integers(max(length - span, 1))
        ranges.append((first, first + span))
    counts = (*data.global_views, *data.local_views)
    spread = [np.linspace(*ends, count) for ends, count in zip(ranges, counts, strict=True)]
    return [start + np.minimum(view, length - 1).astype(np.int64) for view in spread]


def check_views(data: DataConfig) -> None:
    """Reject invalid view settings.

    Raises:
      ConfigError: when the number of global views is neither 0 nor 2, local views come without global ones, or a view
        has no frames.
    """
    if len(data.global_views) not in (0, _GLOBALS) or (data.local_views and not data.global_views):
        raise ConfigError(
            f"data.global_views={data.global_views} must hold the numbers of frames of two views, such as (8, 8); "
            "for single clips leave it and data.local_views empty"
        )
    if min(*data.global_views, *data.local_views, 1, 1) < 1:
        raise ConfigError(
            f"data.global_views={data.global_views} and data.local_views={data.local_views}: "
            "every view needs at least one frame"
        )
