"""Compare the loader's clips per second per core with loops over other decoders, and find how many cores a chip needs.

The recipe is VideoMAE's for Kinetics without antialiasing: 16 frames with stride 4 from a random window, and a
multi-scale crop to 224. The sources are files with a key frame every 250 frames, files with one every 12, and records
that `vidjax prepare` writes from the first kind. Each source is read with 1 and with 4 clips per decode. CPU time is
measured, one video at a time, so that other work on the machine matters little.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable

import cv2
import numpy as np

from vidjax.bench.decoders import LOOPS, PYAV, RECIPE, Clip, why_not
from vidjax.bench.report import Row, rates, times
from vidjax.bench.settings import Settings
from vidjax.bench.videos import write_videos
from vidjax.config import DataConfig
from vidjax.data.clips.row_to_clips import LoadTrain
from vidjax.data.open import open_source
from vidjax.data.prepare.builder import prepare_records
from vidjax.data.prepare.codec import Storing
from vidjax.data.prepare.encode import Encoding
from vidjax.data.sources.base import VideoSource

SEVERAL = 4  # clips per decode
VIDEOS = 8
_DRAWS = 2  # windows of each video
LONG, SHORT = 250, 12  # frames between key frames; 250 is x264's own choice
NOTE = (
    "Loading: CPU seconds, one video at a time. Cores = clips/s of the chip / clips/s of a core, for loading only. "
    "Records are made by vidjax prepare from the files with a key frame every 250 frames."
)
Make = Callable[[int, np.random.Generator], object]


def measure(settings: Settings) -> list[Row]:
    """Measure clips per second per core, several clips per decode against one, and cores per chip."""
    cv2.setNumThreads(1)
    videos = settings.videos or VIDEOS
    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(pathlib.Path(folder), videos)
        files = f"files, key frame every {LONG}"
        reasons = {who: why_not(clip, str(sources[files][0].video)) for who, clip in LOOPS.items()}
        loops = {who: clip for who, clip in LOOPS.items() if not reasons[who]}
        contenders: dict[tuple[str, str], tuple[int, Make]] = {}
        for name, source in sources.items():
            for clips in (1, SEVERAL):
                contenders[name, f"{clips}"] = (clips, vidjax_clips(source, clips))
            if name != "records":  # the other loops read files
                for who, clip in loops.items():
                    contenders[name, who] = (1, _from_file(source, clip))
        speed = clips_per_core(contenders, videos, settings.rounds)
    rows = []
    for name in sources:
        peers = {who: speed[name, who] for who in loops} if name != "records" else {}
        for clips in (1, SEVERAL):
            shown = f"loader, {name}, {clips} clip{'s' * (clips > 1)} per decode"
            rows += rates(shown, "clips/s/core", speed[name, f"{clips}"], peers)
        if peers:
            rows += absent(f"loader, {name}, 1 clip per decode", speed[name, "1"], reasons)
        rows += rates(
            f"loader, {name}, {SEVERAL} clips per decode", "clips/s/core", speed[name, f"{SEVERAL}"],
            {"1 clip": speed[name, "1"]},
        )  # fmt: skip
        if name == "records":
            for clips in (1, SEVERAL):
                shown = f"loader, records, {clips} clip{'s' * (clips > 1)} per decode"
                rows += rates(shown, "clips/s/core", speed[name, f"{clips}"], {files: speed[files, f"{clips}"]})
    return rows + cores(speed, files, settings)


def absent(name: str, ours: list[float], reasons: dict[str, str]) -> list[Row]:
    """Make a row for each loop that cannot read clips here, with the reason instead of a figure."""
    return [
        Row(f"{name}, against {who} ({why})", max(ours), None, "clips/s/core", None)
        for who, why in reasons.items()
        if why
    ]


def cores(speed: dict[tuple[str, str], list[float]], files: str, settings: Settings) -> list[Row]:
    """Compute how many cores keep up with a chip, with the loader and with a PyAV loop over the files."""
    chip = settings.step_clips / settings.step_ms * 1e3
    rows, loop = [], [chip / rate for rate in speed[files, PYAV]]
    for name, clips in ((files, 1), (files, SEVERAL), ("records", 1), ("records", SEVERAL)):
        shown = f"cores for {chip:.0f} clips/s, {name}, {clips} clip{'s' * (clips > 1)} per decode"
        ours = [chip / rate for rate in speed[name, f"{clips}"]]
        rows += times(shown, ours, {PYAV: loop}, "cores")
    return rows


def clips_per_core(
    contenders: dict[tuple[str, str], tuple[int, Make]], videos: int, rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Measure the clips per CPU second of each contender, round by round, on the same videos and windows.

    Args:
      contenders: by name, the clips per call and the call, which takes a video's number and a random generator.
    """
    speed = {name: [] for name in contenders}
    calls = [(video, draw) for draw in range(_DRAWS) for video in range(videos)]  # the same for all, in every round
    for _ in range(rounds):
        for name, (clips, make) in contenders.items():
            start = time.process_time()
            for video, draw in calls:
                make(video, np.random.default_rng((draw, video)))
            speed[name].append(clips * len(calls) / (time.process_time() - start))
    return speed


def vidjax_clips(source: VideoSource, clips: int) -> Make:
    """Return a function that does the loader's work on one row."""
    load = LoadTrain(source, dataclasses.replace(RECIPE, clips_per_decode=clips))
    return lambda row, rng: load.random_map(row, rng)["video"]


def _from_file(source: VideoSource, clip: Clip) -> Make:
    return lambda row, rng: clip(str(source[row].video), rng)


def _all_of(folder: pathlib.Path) -> DataConfig:
    """Return the configuration of a folder with no videos held out."""
    return DataConfig(root=str(folder), eval_split="train")


def _sources(folder: pathlib.Path, videos: int) -> dict[str, VideoSource]:
    """Write the same videos as files of both kinds and as records, and open these sources."""
    sources = {}
    for gop in (LONG, SHORT):
        write_videos(folder / str(gop) / "train" / "a", videos, gop)
        sources[f"files, key frame every {gop}"] = open_source(_all_of(folder / str(gop)), "train")
    files = {"train": sources[f"files, key frame every {LONG}"]}
    root, failures = prepare_records("folder", files, folder / "records", storing=Storing(encoding=Encoding()))
    if failures:
        raise RuntimeError(f"a video that was just written cannot be read: {failures[0]}")
    return sources | {"records": open_source(DataConfig(root=str(root)), "train")}
