"""Numerical functions without parameters; all of them run under `jax.jit`."""

from vidjax.ops.attention import attention, attention_over_time
from vidjax.ops.block_masking import Blocks, block_mask, num_block_tokens
from vidjax.ops.causal_conv import causal_conv_silu
from vidjax.ops.mamba_branch import mamba_branch
from vidjax.ops.masking import (
    attention_mask,
    frame_mask,
    num_kept,
    num_masked,
    random_mask,
    running_cell_mask,
    tube_mask,
)
from vidjax.ops.patches import gather_tokens, normalize_patches, patchify, unpatchify
from vidjax.ops.position import resize_cubic, resize_nearest, sincos_1d
from vidjax.ops.rotary import rotary_3d, rotate
from vidjax.ops.row_sharding import by_rows, gathered, product_by_rows
from vidjax.ops.scan.branch_tpu import BranchWeights
from vidjax.ops.selective_scan import selective_scan

__all__ = [
    "Blocks",
    "BranchWeights",
    "attention",
    "attention_mask",
    "attention_over_time",
    "block_mask",
    "by_rows",
    "causal_conv_silu",
    "frame_mask",
    "gather_tokens",
    "gathered",
    "mamba_branch",
    "normalize_patches",
    "num_block_tokens",
    "num_kept",
    "num_masked",
    "patchify",
    "product_by_rows",
    "random_mask",
    "resize_cubic",
    "resize_nearest",
    "rotary_3d",
    "rotate",
    "running_cell_mask",
    "selective_scan",
    "sincos_1d",
    "tube_mask",
    "unpatchify",
]
