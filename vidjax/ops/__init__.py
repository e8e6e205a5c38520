"""Numerics without parameters; every function runs under `jax.jit`."""

from vidjax.ops.attention import attention
from vidjax.ops.masking import frame_mask, num_masked, random_mask, tube_mask
from vidjax.ops.patches import gather_tokens, normalize_patches, patchify, unpatchify
from vidjax.ops.position import resize_nearest, sincos_1d

__all__ = [
    "attention",
    "frame_mask",
    "gather_tokens",
    "normalize_patches",
    "num_masked",
    "patchify",
    "random_mask",
    "resize_nearest",
    "sincos_1d",
    "tube_mask",
    "unpatchify",
]
