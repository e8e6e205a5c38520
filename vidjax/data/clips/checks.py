"""Check that the keys of `config.data` that define clips are consistent."""

from __future__ import annotations

from vidjax.config import DataConfig
from vidjax.data.clips.augment import check_crop
from vidjax.data.clips.color import check_color_jitter
from vidjax.data.clips.randaugment import parse_rand_augment
from vidjax.data.clips.sampling import SAMPLINGS
from vidjax.data.clips.ssl_views import check_views
from vidjax.errors import ConfigError


def check_clips(data: DataConfig) -> None:
    """Reject clips or views that cannot be made, before a loader worker fails on the first of them.

    Raises:
      ConfigError: naming the key, its value and what is allowed.
    """
    if data.rand_augment:
        parse_rand_augment(data.rand_augment)
    check_color_jitter(data.color_jitter)
    check_crop(data)
    check_views(data)
    check_fps(data)
    check_segments(data)
    data.clip_shape  # noqa: B018 - raises for cubes that do not tile a clip
    for key, limit in (("crop_area", 1.0), ("crop_aspect", float("inf")), ("local_area", 1.0)):
        ends = getattr(data, key)
        if len(ends) != 2 or not 0 < ends[0] <= ends[1] <= limit:
            most = " <= 1" if limit == 1 else ""
            raise ConfigError(f"data.{key}={ends} must be (low, high) with 0 < low <= high{most}")
    if not data.crop_scales or not 0 < min(data.crop_scales) <= max(data.crop_scales) <= 1:
        raise ConfigError(f"data.crop_scales={data.crop_scales} must all be above 0 and at most 1")
    for key in ("mean", "std"):
        if len(getattr(data, key)) != 3:
            raise ConfigError(f"data.{key}={getattr(data, key)} must be three numbers: red, green, blue")


def check_fps(data: DataConfig) -> None:
    """Reject data.fps together with a sampling mode that sets the distance between frames itself."""
    sampling = SAMPLINGS[data.sampling]
    if data.fps and (sampling.whole or sampling.rate):
        does = "spreads frames over the whole video" if sampling.whole else "already counts data.stride in time"
        able = ", ".join(name for name, other in SAMPLINGS.items() if not (other.whole or other.rate))
        raise ConfigError(
            f"data.fps={data.fps:g} does not apply to data.sampling={data.sampling}, which {does}; use one of {able}, "
            "or data.fps=0"
        )


def check_segments(data: DataConfig) -> None:
    """Reject data.segments if they do not divide a clip evenly, or if another key allows only one segment."""
    if data.num_frames % data.segments:
        raise ConfigError(
            f"data.num_frames={data.num_frames} is not a multiple of data.segments={data.segments}; use "
            f"data.num_frames={max(1, round(data.num_frames / data.segments)) * data.segments}"
        )
    if data.segments > 1 and data.tubelet_remainder != "error":
        raise ConfigError(
            f"data.tubelet_remainder={data.tubelet_remainder} does not apply to data.segments={data.segments}; use "
            "data.tubelet_remainder=error"
        )
    if data.segments > 1 and SAMPLINGS[data.sampling].whole:
        able = ", ".join(name for name, other in SAMPLINGS.items() if not other.whole)
        raise ConfigError(
            f"data.segments={data.segments} does not apply to data.sampling={data.sampling}, which spreads frames over "
            f"the whole video; use one of {able}, or data.segments=1"
        )
