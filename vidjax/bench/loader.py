"""Clips a second and core of the loader beside plain PyAV and OpenCV loops, and how many cores a chip needs.

The recipe is VideoMAE's for Kinetics without antialiasing: 16 frames with stride 4 from a random window, multi-scale
crop to 224. Files with a key frame every 250 and every 12 frames, and what `vidjax prepare` makes of the former; 1 and
4 clips per decode. What counts is CPU time, one video at a time, so that other work on the machine matters little.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable

import av
import cv2
import numpy as np

from vidjax.bench.report import Row, rates, times
from vidjax.bench.settings import Settings
from vidjax.bench.videos import FRAMES, RATE, write_videos
from vidjax.config import DataConfig
from vidjax.data.clips.augment import augment
from vidjax.data.clips.row_to_clips import LoadTrain
from vidjax.data.open import open_source
from vidjax.data.prepare.builder import prepare_records
from vidjax.data.prepare.codec import Storing
from vidjax.data.prepare.encode import Encoding
from vidjax.data.sources.base import VideoSource

RECIPE = DataConfig(num_frames=16, stride=4, sampling="dense", crop="multi_scale", image_size=224)
SPAN = RECIPE.num_frames * RECIPE.stride
SEVERAL = 4  # clips per decode
VIDEOS = 8
_DRAWS = 2  # windows of each video
LONG, SHORT = 250, 12  # frames between key frames; 250 is x264's own choice
NOTE = (
    "Loading: CPU seconds, one video at a time. Cores = clips/s of the chip / clips/s of a core, for this work alone. "
    "Records are the files with a key frame every 250 frames after vidjax prepare."
)
Make = Callable[[int, np.random.Generator], object]


def measure(settings: Settings) -> list[Row]:
    """Clips a second and core, several clips per decode beside one, and cores a chip."""
    cv2.setNumThreads(1)
    videos = settings.videos or VIDEOS
    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(pathlib.Path(folder), videos)
        files = f"files, key frame every {LONG}"
        contenders: dict[tuple[str, str], tuple[int, Make]] = {}
        for name, source in sources.items():
            for clips in (1, SEVERAL):
                contenders[name, f"{clips}"] = (clips, vidjax_clips(source, clips))
            if name != "records":  # the other loops read files
                contenders[name, "a PyAV loop"] = (1, _from_file(source, pyav_clip))
                contenders[name, "an OpenCV loop"] = (1, _from_file(source, opencv_clip))
        speed = clips_per_core(contenders, videos, settings.rounds)
    rows = []
    for name in sources:
        against = name if name != "records" else files
        peers = {who: speed[against, who] for who in ("a PyAV loop", "an OpenCV loop")}
        for clips in (1, SEVERAL):
            shown = f"loader, {name}, {clips} clip{'s' * (clips > 1)} per decode"
            rows += rates(shown, "clips/s/core", speed[name, f"{clips}"], peers if name != "records" else {})
        rows += rates(
            f"loader, {name}, {SEVERAL} clips per decode", "clips/s/core", speed[name, f"{SEVERAL}"],
            {"1 clip": speed[name, "1"]},
        )  # fmt: skip
        if name == "records":
            for clips in (1, SEVERAL):
                shown = f"loader, records, {clips} clip{'s' * (clips > 1)} per decode"
                rows += rates(shown, "clips/s/core", speed[name, f"{clips}"], {files: speed[files, f"{clips}"]})
    return rows + cores(speed, files, settings)


def cores(speed: dict[tuple[str, str], list[float]], files: str, settings: Settings) -> list[Row]:
    """How many cores keep up with a chip, beside how many a plain loop over the files takes."""
    chip = settings.step_clips / settings.step_ms * 1e3
    rows, loop = [], [chip / rate for rate in speed[files, "a PyAV loop"]]
    for name, clips in ((files, 1), (files, SEVERAL), ("records", 1), ("records", SEVERAL)):
        shown = f"cores for {chip:.0f} clips/s, {name}, {clips} clip{'s' * (clips > 1)} per decode"
        ours = [chip / rate for rate in speed[name, f"{clips}"]]
        rows += times(shown, ours, {"a PyAV loop": loop}, "cores")
    return rows


def clips_per_core(
    contenders: dict[tuple[str, str], tuple[int, Make]], videos: int, rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Clips a CPU second of each contender, round by round, all in turn on the same videos and windows.

    Args:
      contenders: how many clips a call makes, and the call on (video number, random generator).
    """
    speed = {name: [] for name in contenders}
    calls = [(video, draw) for draw in range(_DRAWS) for video in range(videos)]  # the same every round: luck is shared
    for _ in range(rounds):
        for name, (clips, make) in contenders.items():
            start = time.process_time()
            for video, draw in calls:
                make(video, np.random.default_rng((draw, video)))
            speed[name].append(clips * len(calls) / (time.process_time() - start))
    return speed


def vidjax_clips(source: VideoSource, clips: int) -> Make:
    """The loader's own work on one row."""
    load = LoadTrain(source, dataclasses.replace(RECIPE, clips_per_decode=clips))
    return lambda row, rng: load.random_map(row, rng)["video"]


def pyav_clip(path: str, rng: np.random.Generator) -> np.ndarray:
    """What people write: seek, decode to the end of the window, convert the wanted frames."""
    start = int(rng.integers(0, FRAMES - SPAN + 1))
    wanted, frames = set(range(start, start + SPAN, RECIPE.stride)), []
    with av.open(path) as container:
        stream = container.streams.video[0]
        unit = float(stream.time_base or 1)
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        container.seek(int(start / RATE / unit), stream=stream)
        for frame in container.decode(stream):
            if round((frame.pts or 0) * unit * RATE) in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == RECIPE.num_frames:
                break
    return augment(np.stack(frames), RECIPE, rng)


def opencv_clip(path: str, rng: np.random.Generator) -> np.ndarray:
    """OpenCV's reader on one thread, which converts only the frames that are retrieved."""
    start = int(rng.integers(0, FRAMES - SPAN + 1))
    video, frames = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]), []
    video.set(cv2.CAP_PROP_POS_FRAMES, start)
    for number in range(SPAN - RECIPE.stride + 1):
        video.grab()
        if number % RECIPE.stride == 0:
            frames.append(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
    video.release()
    return augment(np.stack(frames), RECIPE, rng)


def _from_file(source: VideoSource, clip: Callable[[str, np.random.Generator], np.ndarray]) -> Make:
    return lambda row, rng: clip(str(source[row].video), rng)


def _all_of(folder: pathlib.Path) -> DataConfig:
    """A folder none of whose videos is held out."""
    return DataConfig(root=str(folder), eval_split="train")


def _sources(folder: pathlib.Path, videos: int) -> dict[str, VideoSource]:
    """The same videos as files of both kinds, and as records."""
    sources = {}
    for gop in (LONG, SHORT):
        write_videos(folder / str(gop) / "train" / "a", videos, gop)
        sources[f"files, key frame every {gop}"] = open_source(_all_of(folder / str(gop)), "train")
    files = {"train": sources[f"files, key frame every {LONG}"]}
    root, failures = prepare_records("folder", files, folder / "records", storing=Storing(encoding=Encoding()))
    if failures:
        raise RuntimeError(f"a video that was just written cannot be read: {failures[0]}")
    return sources | {"records": open_source(DataConfig(root=str(root)), "train")}
