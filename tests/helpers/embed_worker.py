"""A backbone whose features are easy to compute, and a process that is killed while embedding with it.

python embed_worker.py VIDEOS FOLDER ROWS: killed abruptly after so many rows.
python embed_worker.py VIDEOS FOLDER CALLS windows: with `WINDOWS`, killed after so many calls of on_row.
python embed_worker.py VIDEOS FOLDER ROWS RANK COUNT PORT: the same for one of several processes of one job.
"""

import dataclasses
import os
import signal
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.open import open_source
from vidjax.evaluation.features.writer import Split, Storage, write_features

NAMES = ("tokens", "token_mean", "pooled")
STORED = ("names", "dtype", "rows_per_part")  # options of the store; the others belong to the call
WINDOWS = Windows(seconds=0.2, length=0.4)
RECIPE = ClipRecipe(num_frames=2, stride=3, image_size=16, mean=(0.5,) * 3, std=(0.2,) * 3)


@dataclasses.dataclass
class Colours:
    """One token per frame, its mean colour times a number; not a model, but with the interface of one."""

    params: np.ndarray = dataclasses.field(default_factory=lambda: np.float32(0.5))
    source: str = "colours"
    family: str = "colours"
    clip_recipe: ClipRecipe = RECIPE
    spec: types.SimpleNamespace = dataclasses.field(
        default_factory=lambda: types.SimpleNamespace(num_frames=2, tubelet_size=1)
    )

    def outputs(self, params, clips):
        tokens = clips.astype(jnp.float32).mean((2, 3)) * params
        return {"tokens": tokens, "pooled": tokens.max(1)}


def colours(factor=0.5, source="colours", **clips):
    """Such a backbone, with other clips on request."""
    return Colours(np.float32(factor), source, clip_recipe=dataclasses.replace(RECIPE, **clips))


def data_of(videos):
    """The location of the videos, and the loader's settings."""
    return DataConfig(root=str(videos), threads=1)


def embed(videos, folder, backbone=None, *, split="train", **options):
    """Write the store of a split in parts of four rows, all of it or a share; `windows` go to the split."""
    data = data_of(videos)
    stored = {"names": NAMES, "rows_per_part": 4} | {key: options.pop(key) for key in STORED if key in options}
    videos = Split(open_source(data, split), data, split, windows=options.pop("windows", None))
    return write_features(backbone or Colours(), videos, Storage(folder, **stored), **{"batch": 8} | options)


if __name__ == "__main__":
    videos, folder, rows, *job = sys.argv[1:]
    options = {"windows": WINDOWS, "backbone": colours(sampling="segment")} if job == ["windows"] else {}
    if job and not options:
        rank, count, port = map(int, job)
        jax.distributed.initialize(f"localhost:{port}", count, rank)
    left = iter(range(int(rows)))

    def die_at_last(rows):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    print(embed(videos, folder, on_row=die_at_last, **options).computed)
