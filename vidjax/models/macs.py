"""Multiply-accumulates of a forward pass, counted from the architecture (matrix products only).

A FLOP count is twice this; a training step costs about three forward passes. Each spec counts its own model.
"""


def transformer_macs(tokens: int, width: int, mlp_dim: int, depth: int) -> int:
    """Multiply-accumulates of `depth` pre-norm blocks with full self-attention over `tokens`."""
    return depth * (tokens * (4 * width**2 + 2 * width * mlp_dim) + 2 * tokens**2 * width)
