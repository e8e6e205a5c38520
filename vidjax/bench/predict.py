"""`vidjax predict` of one clip beside a PyTorch script and transformers' pipeline: processes from start to answer.

The model is a VideoMAE with random weights in a folder of transformers, the video one of ten seconds. All on the CPU.
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
    "predict: seconds from the start of a process to its answer, the files in memory; compiled before: with what an "
    "earlier call compiled, which vidjax keeps."
)


def measure(settings: Settings) -> list[Row]:
    """Seconds of a process, of each size; what vidjax compiles kept from before, and not."""
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
