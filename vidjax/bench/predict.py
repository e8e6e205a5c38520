"""Time `vidjax predict` of one clip against a PyTorch script and transformers' pipeline: whole processes, on the CPU.

The model is a VideoMAE with random weights, in transformers' format; the video lasts ten seconds.
"""

from __future__ import annotations

import pathlib
import tempfile

from vidjax.bench import peers
from vidjax.bench.processes import command, vidjax_words
from vidjax.bench.race import race
from vidjax.bench.report import Row, times
from vidjax.bench.settings import Settings
from vidjax.bench.videos import write_videos

NOTE = (
    'predict: seconds from the start of a process to its answer, with files cached in memory. "Compiled before" uses '
    'programs that vidjax kept from an earlier call; "compiled anew" compiles them again.'
)


def measure(settings: Settings) -> list[Row]:
    """Measure the seconds of a process for each size, with and without vidjax's earlier compilations."""
    rows = []
    for size in settings.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            if not peers.write_videomae(size, folder / "model", settings):
                continue
            (video,) = write_videos(folder / "videos", 1, key_every=250)
            rows += _measure(size, folder, str(video), settings)
    return rows


def _measure(size: str, folder: pathlib.Path, video: str, settings: Settings) -> list[Row]:
    model = str(folder / "model")
    words = vidjax_words("predict", video, "--model", model, "--json")
    before, anew = "compiled before", "compiled anew"
    theirs = {
        "a PyTorch script": command(peers.script_words("predict", model, video)),
        "transformers' pipeline": command(peers.script_words("pipeline", model, video)),
    }
    ours = {
        before: command(words, VIDJAX_COMPILE_CACHE=str(folder / "compiled")),
        anew: command(words, VIDJAX_COMPILE_CACHE="off"),
    }
    seconds = race(ours | theirs, settings.rounds, peers=theirs, remark=settings.remark, processes=True)
    rows = []
    for how in ours:
        other = {who: seconds[who] for who in theirs if who in seconds}
        rows += times(f"predict of one clip, videomae_{size}, {how}", seconds[how], other, "s")
    return rows
