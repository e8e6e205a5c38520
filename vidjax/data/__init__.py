"""Video files in, uint8 clips out; nothing here imports jax, so loader workers start no backend."""

import importlib

_LAZY = {
    "Video": "vidjax.data.video.decode",
    "VideoInfo": "vidjax.data.video.decode",
    "probe_video": "vidjax.data.video.decode",
    "read_frames": "vidjax.data.video.decode",
    "open_source": "vidjax.data.open",
    "train_batches": "vidjax.data.loader",
    "eval_batches": "vidjax.data.loader",
}

__all__ = list(_LAZY)


def __getattr__(name: str):
    """Import a public function when it is first used."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vidjax.data' has no attribute {name!r}")
