"""Write test videos that take about as long to decode as Kinetics at 340 x 256."""

from __future__ import annotations

import pathlib

import av
import cv2
import numpy as np

HEIGHT, WIDTH, FRAMES, RATE = 256, 340, 300, 30
_THING = 80  # pixels


def write_videos(folder: pathlib.Path, count: int, key_every: int) -> list[pathlib.Path]:
    """Write ten-second H.264 files, encoded with ffmpeg's defaults except for the key frames."""
    folder.mkdir(parents=True)
    paths = [folder / f"{seed}.mp4" for seed in range(count)]
    for seed, path in enumerate(paths):
        _write(path, key_every, seed)
    return paths


def _write(path: pathlib.Path, key_every: int, seed: int) -> None:
    """Write a video of a moving object, seen by a moving camera over a blurred texture."""
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), np.uint8), (0, 0), 3)
    ground = cv2.normalize(ground, np.empty_like(ground), 0, 255, cv2.NORM_MINMAX).astype(np.uint8, copy=False)
    thing = cv2.GaussianBlur(rng.integers(0, 256, (_THING, _THING, 3), np.uint8), (0, 0), 1.5)
    phase = rng.uniform(0, 6, 4)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"g": str(key_every), "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(FRAMES):
            at = np.sin(number / np.array([40, 55, 25, 17]) + phase) * 0.45 + 0.5
            down, right = int(at[0] * HEIGHT), int(at[1] * WIDTH)
            picture = ground[down : down + HEIGHT, right : right + WIDTH].copy()
            down, right = int(at[2] * (HEIGHT - _THING)), int(at[3] * (WIDTH - _THING))
            picture[down : down + _THING, right : right + _THING] = thing
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
