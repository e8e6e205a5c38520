"""Clips per second and core of the data room beside plain PyAV and OpenCV loops, for the Kinetics recipe of VideoMAE.

10-second 340 x 256 H.264 videos, 16 frames with stride 4 from a random window, multi-scale crop to 224; key frames
every 12 and every 250 frames; 1 and 4 clips per decode. CPU time of one thread, the contenders in turn on the same
videos, so that a busy machine slows all of them. Run: python scripts/bench_loader.py [--json] [--rounds N]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import av
import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vidjax.config import DataConfig
from vidjax.data import open_source, train_batches
from vidjax.data.augment import augment
from vidjax.data.load import LoadTrain

HEIGHT, WIDTH, FRAMES, RATE = 256, 340, 300, 30
RECIPE = DataConfig(num_frames=16, stride=4, sampling="dense", crop="multi_scale", image_size=224, global_batch=8)
SPAN = RECIPE.num_frames * RECIPE.stride


def write_video(path: str, gop: int, seed: int):
    """A moving camera over a blurred texture with a moving object: about the bit rate of Kinetics at this size."""
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), np.uint8), (0, 0), 3)
    ground = cv2.normalize(ground, None, 0, 255, cv2.NORM_MINMAX)
    thing = cv2.GaussianBlur(rng.integers(0, 256, (80, 80, 3), np.uint8), (0, 0), 1.5)
    phase = rng.uniform(0, 6, 4)
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"g": str(gop), "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(FRAMES):
            at = np.sin(number / np.array([40, 55, 25, 17]) + phase) * 0.45 + 0.5
            down, right = int(at[0] * HEIGHT), int(at[1] * WIDTH)
            picture = ground[down : down + HEIGHT, right : right + WIDTH].copy()
            down, right = int(at[2] * (HEIGHT - 80)), int(at[3] * (WIDTH - 80))
            picture[down : down + 80, right : right + 80] = thing
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


def pyav_clip(path: str, rng: np.random.Generator) -> np.ndarray:
    """What people write: seek, decode to the end of the window, convert the wanted frames."""
    start = int(rng.integers(0, FRAMES - SPAN + 1))
    wanted, frames = set(range(start, start + SPAN, RECIPE.stride)), []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        container.seek(int(start / RATE / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if round(frame.pts * stream.time_base * RATE) in wanted:
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


def vidjax_clips(source, clips: int) -> Callable[[int, np.random.Generator], np.ndarray]:
    """The loader's own work on one row."""
    load = LoadTrain(source, dataclasses.replace(RECIPE, clips_per_decode=clips))
    return lambda row, rng: load.random_map(row, rng)["video"]


def cpu_ms_per_clip(source, rounds: int, title: str, quiet: bool) -> dict[str, float]:
    """Median over rounds of the mean CPU milliseconds a clip, for each contender."""
    contenders = {
        "pyav": (1, lambda row, rng: pyav_clip(source[row].video, rng)),
        "opencv": (1, lambda row, rng: opencv_clip(source[row].video, rng)),
        "vidjax, 1 clip": (1, vidjax_clips(source, 1)),
        "vidjax, 4 clips": (4, vidjax_clips(source, 4)),
    }
    spent = {name: [] for name in contenders}
    for turn in track(range(rounds), description=title, disable=quiet):
        for name, (clips, make) in contenders.items():
            start = time.process_time()
            for row in range(len(source)):
                make(row, np.random.default_rng((turn, row)))
            spent[name].append((time.process_time() - start) / len(source) / clips)
    return {name: 1e3 * statistics.median(times) for name, times in spent.items()}


def clips_per_second(source, clips: int, workers: int) -> float:
    """Wall-clock rate of the whole loader on this machine."""
    data = dataclasses.replace(
        RECIPE, clips_per_decode=clips, workers=workers, threads=os.cpu_count() if not workers else 1
    )
    batches = train_batches(source, data, seed=0)
    for _ in range(3):  # start-up and the batches that were made meanwhile
        next(batches)
    start, rows = time.perf_counter(), 0
    while time.perf_counter() - start < 5:
        rows += len(next(batches)["label"])
    elapsed = time.perf_counter() - start
    batches.close()
    return rows / elapsed


def measure(rounds: int, videos: int, quiet: bool) -> list[dict]:
    """Rows of the answer: {name, ours, peer, unit, ratio}, ratio above 1 meaning vidjax is faster."""
    answer = []
    cv2.setNumThreads(1)
    for gop in (12, 250):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(f"{root}/train/clips")
            for seed in range(videos):
                write_video(f"{root}/train/clips/{seed}.mp4", gop, seed)
            source = open_source(dataclasses.replace(RECIPE, root=root), "train")
            cost = cpu_ms_per_clip(source, rounds, f"gop {gop}", quiet)
            for clips in ("1 clip", "4 clips"):
                for peer in ("pyav", "opencv"):
                    ours, theirs = 1e3 / cost[f"vidjax, {clips}"], 1e3 / cost[peer]
                    name = f"loader, gop {gop}, {clips} per decode, against {peer}"
                    row = {"name": name, "ours": ours, "peer": theirs, "unit": "clips/s/core", "ratio": ours / theirs}
                    answer.append(row)
            single, several = (clips_per_second(source, clips, 0) for clips in (1, 4))
            name = f"loader, gop {gop}, whole machine ({os.cpu_count()} threads), 4 clips per decode against 1"
            answer.append({"name": name, "ours": several, "peer": single, "unit": "clips/s", "ratio": several / single})
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--videos", type=int, default=8)
    options = parser.parse_args()
    answer = measure(options.rounds, options.videos, quiet=options.json)
    if options.json:
        print(json.dumps(answer, indent=1))
        return
    table = Table("measurement", "vidjax", "peer", "unit", "ratio")
    for row in answer:
        table.add_row(row["name"], f"{row['ours']:.1f}", f"{row['peer']:.1f}", row["unit"], f"{row['ratio']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
