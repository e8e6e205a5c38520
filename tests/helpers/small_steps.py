"""Configurations and batches of a few small steps: 8 clips of 2 frames of 16 pixels, in 3 classes."""

import numpy as np

from vidjax import config as config_lib

CLASSES, ROWS = 3, 8
KEYS = {
    "task": "classification", "model.dtype": "float32", "model.spec.patch_size": 8, "data.num_frames": 2,
    "data.image_size": 16, "data.global_batch": ROWS, "train.accumulate": 1, "optim.reference_batch": ROWS,
}  # fmt: skip


def config_of(keys, **changes):
    """A configuration with `KEYS`, the given keys, and changes such as `model__dtype`."""
    config = config_lib.defaults()
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    config.update_from_flattened_dict(KEYS | keys | changes)
    return config_lib.from_dict(config.to_dict())


def batch_of(step):
    """A batch of random clips, which depends on the number of the step."""
    rng = np.random.default_rng(step)
    return {
        "video": rng.integers(0, 256, (ROWS, 2, 16, 16, 3), dtype=np.uint8),
        "label": rng.integers(0, CLASSES, ROWS).astype(np.int32),
        "target": rng.normal(size=(ROWS, CLASSES)).astype(np.float32),
        "valid": np.ones(ROWS, bool),
    }
