"""What tests of miniature data sets share: copying videos, a first batch, two steps through the real loop."""

import pathlib
import runpy
import shutil

from vidjax import config as config_lib
from vidjax.config import DataConfig
from vidjax.data import train_batches
from vidjax.training import train

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SMALL = {"num_frames": 4, "stride": 1, "image_size": 32, "global_batch": 4, "crop": "center", "threads": 1}


def put(video, target):
    """Copy a video to a place in a layout."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(video, target)


def first(source, **changes):
    """The first training batch."""
    batches = train_batches(source, DataConfig(**(SMALL | changes)), seed=0)
    batch = next(batches)
    batches.close()
    return batch


def run(config_file, arg, root, workdir, **changes):
    """Train an experiment for two steps on a miniature and score it; the results."""
    config = runpy.run_path(str(CONFIGS / config_file))["get_config"](arg)
    keys = {"data.root": str(root), "data.train_split": "train", "data.eval_split": "val", "data.global_batch": 16}
    keys |= {
        "train.steps": 2,
        "train.log_every": 1,
        "train.checkpoint_every": 2,
        "eval.batch": 8,
        "optim.warmup_steps": 1,
    }
    config.update_from_flattened_dict(keys | {"data.name": config_file.removesuffix(".py")} | changes)
    return train(config_lib.from_dict(config.to_dict()), workdir)
