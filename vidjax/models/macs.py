"""Multiply-accumulates of a forward pass, counted from the architecture.

Matrix products count, and so do the convolutions and scans of Mamba. A FLOP count is twice this; a training step costs
about three forward passes. Each family's spec counts its own model.
"""


def transformer_macs(tokens: int, width: int, mlp_dim: int, depth: int) -> int:
    """Multiply-accumulates of `depth` pre-norm blocks with full self-attention over `tokens` tokens."""
    return depth * (tokens * (4 * width**2 + 2 * width * mlp_dim) + 2 * tokens**2 * width)
