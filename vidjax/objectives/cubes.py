"""Cubes of clips, cut by the loader or on the device."""

from jaxtyping import Array, UInt8

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models.spec import ClipSpec
from vidjax.objectives.base import Batch


def uint8_cubes(batch: Batch, spec: ClipSpec) -> UInt8[Array, "b n p"]:
    """Return the cubes of a batch's clips in uint8, a quarter of float32's bytes; the loader may have cut them.

    Raises:
      ConfigError: if the loader's cubes (`data.cubes`) are not the model's.
    """
    video = batch["video"]
    if video.ndim == 5:
        return ops.patchify(video, spec.tubelet_size, spec.patch_size)
    if video.shape[1:] != (spec.num_tokens, spec.patch_dim):
        raise ConfigError(
            f"data.cubes gives {video.shape[1]} cubes of {video.shape[2]} values, but the model takes "
            f"{spec.num_tokens} cubes of {spec.patch_dim} values; use "
            f"data.cubes=({spec.tubelet_size},{spec.patch_size}), or ()"
        )
    return video
