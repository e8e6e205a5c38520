"""Conversions between PyTorch's layout of a parameter and vidjax's, for the rules of each family.

A `Form` converts arrays of a file to leaves of the parameter tree, and back.
"""

from __future__ import annotations

import numpy as np

from vidjax.weights.rules import Form, Rule

SAME = Form(lambda *arrays: arrays, lambda *arrays: arrays)
LINEAR = Form(lambda weight: (weight.T,), lambda kernel: (kernel.T,))  # (out, in) and (in, out)
TOKEN = Form(lambda token: (token.reshape(token.shape[-1]),), lambda token: (token[None, None],))  # (1, 1, d) and (d,)
POSITIONS = Form(lambda table: (np.squeeze(table, 0),), lambda table: (table[None],))  # (1, n, d) and (n, d)


def patch_conv3d(tubelet: int, patch: int, channels: int = 3) -> Form:
    """Convert a Conv3d weight (d, c, t, h, w) to a matrix (t h w c, d) that multiplies the rows of `ops.patchify`."""
    return Form(
        lambda weight: (weight.transpose(2, 3, 4, 1, 0).reshape(-1, weight.shape[0]),),
        lambda kernel: (kernel.reshape(tubelet, patch, patch, channels, -1).transpose(4, 3, 0, 1, 2),),
    )


def patch_conv2d(patch: int, channels: int = 3) -> Form:
    """Convert a Conv2d weight (d, c, h, w) to a matrix (h w c, d) for cubes of one frame."""
    return Form(
        lambda weight: (weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0]),),
        lambda kernel: (kernel.reshape(patch, patch, channels, -1).transpose(3, 2, 0, 1),),
    )


def qkv_fused(heads: int) -> Form:
    """Convert one weight (3 d, d), with the rows of q, k and v in turn, to a kernel (d, 3, heads, head width)."""
    return Form(
        lambda weight: (weight.T.reshape(weight.shape[1], 3, heads, -1),),
        lambda kernel: (kernel.reshape(kernel.shape[0], -1).T,),
    )


def qkv_fused_bias(heads: int) -> Form:
    """Convert one bias (3 d,) to q_bias, k_bias and v_bias, each (heads, head width)."""
    return Form(
        lambda bias: tuple(bias.reshape(3, heads, -1)),
        lambda q, k, v: (np.concatenate([q.ravel(), k.ravel(), v.ravel()]),),
    )


def qkv_split(heads: int) -> Form:
    """Convert the weights of q, k and v, each (d, d), to one kernel (d, 3, heads, head width)."""
    return Form(
        lambda *weights: (np.stack([w.T.reshape(w.shape[1], heads, -1) for w in weights], axis=1),),
        lambda kernel: tuple(kernel[:, part].reshape(kernel.shape[0], -1).T for part in range(3)),
    )


def by_head(heads: int) -> Form:
    """Convert vectors (d,) to (heads, head width)."""
    return Form(
        lambda *biases: tuple(bias.reshape(heads, -1) for bias in biases),
        lambda *biases: tuple(bias.ravel() for bias in biases),
    )


def heads_out(heads: int) -> Form:
    """Convert the weight (d, d) of an output projection to a kernel (heads, head width, d)."""
    return Form(
        lambda weight: (weight.T.reshape(heads, -1, weight.shape[0]),),
        lambda kernel: (kernel.reshape(-1, kernel.shape[-1]).T,),
    )


def zeros(*shape: int) -> Form:
    """Make a leaf of zeros, for which the file has no array."""
    return Form(lambda: (np.zeros(shape, np.float32),), lambda leaf: ())


def no_biases(targets: tuple[str, ...], heads: int, width: int, depth: int) -> list[Rule]:
    """Return rules that fill absent biases of queries, keys or values with zeros (heads, head width)."""
    return [Rule((), (target,), zeros(heads, width // heads), depth) for target in targets]


def linear(source: str, target: str, depth: int = 0) -> tuple[Rule, Rule]:
    """Return the rules for the weight and bias of a Linear."""
    return (
        Rule((f"{source}.weight",), (f"{target}/kernel",), LINEAR, depth),
        Rule((f"{source}.bias",), (f"{target}/bias",), SAME, depth),
    )


def norm(source: str, target: str, depth: int = 0) -> tuple[Rule, Rule]:
    """Return the rules for the weight and bias of a LayerNorm."""
    return (
        Rule((f"{source}.weight",), (f"{target}/scale",), SAME, depth),
        Rule((f"{source}.bias",), (f"{target}/bias",), SAME, depth),
    )
