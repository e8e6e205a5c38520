"""`vidjax embed` of a folder of videos beside a PyTorch loop: processor seconds of whole processes, on the CPU.

The model is a VideoMAE with random weights in a folder of transformers, one clip of every video, batches of 8.
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
_DIFFERENT = 5  # the others are links to these
NOTE = "embed: processor seconds of a process, decoding and starting included, with what an earlier call compiled."


def measure(settings: Settings) -> list[Row]:
    """Processor seconds of a process, of each size."""
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
    """So many files in folder/videos, a few of which are different videos."""
    different = write_videos(folder / "different", min(count, _DIFFERENT), key_every=250)
    (folder / "videos").mkdir()
    for number in range(count):
        os.link(different[number % len(different)], folder / "videos" / f"{number:03}.mp4")


def embed_words(folder: pathlib.Path, out: pathlib.Path) -> list[str]:
    """The command that embeds folder/videos by folder/model with vidjax."""
    model, videos = str(folder / "model"), str(folder / "videos")
    return vidjax_words("embed", "--model", model, "--data", videos, "--features", "pooled", "--out", str(out))


def torch_words(folder: pathlib.Path) -> list[str]:
    """The same with PyTorch, into folder/pooled.npy."""
    return peers.script_words("embed", str(folder / "model"), str(folder / "videos"), str(folder / "pooled.npy"))


def _ours(folder: pathlib.Path) -> Run:
    """Into a new folder every time: what is there is not computed again."""
    fresh = itertools.count()

    def run(count: int) -> None:
        for _ in range(count):
            words = embed_words(folder, folder / f"features{next(fresh)}")
            command(words, VIDJAX_COMPILE_CACHE=str(folder / "compiled"))(1)

    return run
