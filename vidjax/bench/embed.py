"""Time `vidjax embed` of a folder of videos against a PyTorch loop: CPU seconds of whole processes, without a GPU.

The model is a VideoMAE with random weights, in transformers' format. It embeds one clip per video, in batches of 8.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import tempfile

from vidjax.bench import peers
from vidjax.bench.processes import children_seconds, command, vidjax_words
from vidjax.bench.race import Run, race
from vidjax.bench.report import Row, times
from vidjax.bench.settings import Settings
from vidjax.bench.videos import write_videos

VIDEOS = 50
_DIFFERENT = 5  # number of different videos; the others are links to these
NOTE = "embed: CPU seconds of a process, including startup and decoding, with programs compiled by an earlier call."


def measure(settings: Settings) -> list[Row]:
    """Measure the CPU seconds of a process for each size."""
    rows, count = [], settings.videos or VIDEOS
    for size in settings.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            if not peers.write_videomae(size, folder / "model", settings):
                continue
            link_videos(folder, count)
            theirs = {"a PyTorch loop": command(torch_words(folder))}
            seconds = race(
                {"vidjax": _ours(folder)} | theirs, settings.rounds,
                peers=theirs, remark=settings.remark, clock=children_seconds, processes=True,
            )  # fmt: skip
            rows += times(f"embed of {count} clips, videomae_{size}", seconds.pop("vidjax"), seconds, "CPU s")
    return rows


def link_videos(folder: pathlib.Path, count: int) -> None:
    """Fill folder/videos with `count` links to a few different videos."""
    different = write_videos(folder / "different", min(count, _DIFFERENT), key_every=250)
    (folder / "videos").mkdir()
    for number in range(count):
        os.link(different[number % len(different)], folder / "videos" / f"{number:03}.mp4")


def embed_words(folder: pathlib.Path, out: pathlib.Path) -> list[str]:
    """Return the command with which vidjax embeds folder/videos with the model in folder/model."""
    model, videos = str(folder / "model"), str(folder / "videos")
    return vidjax_words("embed", "--model", model, "--data", videos, "--features", "pooled", "--out", str(out))


def torch_words(folder: pathlib.Path) -> list[str]:
    """Return the command that does the same with PyTorch and writes folder/pooled.npy."""
    return peers.script_words("embed", str(folder / "model"), str(folder / "videos"), str(folder / "pooled.npy"))


def _ours(folder: pathlib.Path) -> Run:
    """Embed into a new folder every time, because existing results are not recomputed."""
    fresh = itertools.count()

    def run(count: int) -> None:
        for _ in range(count):
            words = embed_words(folder, folder / f"features{next(fresh)}")
            command(words, VIDJAX_COMPILE_CACHE=str(folder / "compiled"))(1)

    return run
