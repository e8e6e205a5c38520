"""Video files in, uint8 clips out. Nothing here uses jax, so loader workers start no backend."""

from typing import TYPE_CHECKING

from vidjax._lazy import attach

if TYPE_CHECKING:
    from vidjax.data.clips.recipe import ClipRecipe
    from vidjax.data.loader import eval_batches, train_batches
    from vidjax.data.open import open_source
    from vidjax.data.video.decode import Video, VideoInfo, probe_video, read_frames

__all__ = [
    "ClipRecipe",
    "Video",
    "VideoInfo",
    "eval_batches",
    "open_source",
    "probe_video",
    "read_frames",
    "train_batches",
]

__getattr__, __dir__ = attach(
    "vidjax.data",
    {
        "ClipRecipe": "vidjax.data.clips.recipe",
        "Video": "vidjax.data.video.decode",
        "VideoInfo": "vidjax.data.video.decode",
        "probe_video": "vidjax.data.video.decode",
        "read_frames": "vidjax.data.video.decode",
        "open_source": "vidjax.data.open",
        "train_batches": "vidjax.data.loader",
        "eval_batches": "vidjax.data.loader",
    },
)
