"""Multiply-accumulates of a forward pass, counted from the architecture (matrix products only).

A FLOP count is twice this; a training step costs about three forward passes.
"""

from vidjax.models.videomae import VideoMAESpec


def transformer_macs(tokens: int, width: int, mlp_dim: int, depth: int) -> int:
    """`depth` pre-norm blocks with full self-attention over `tokens`."""
    return depth * (tokens * (4 * width**2 + 2 * width * mlp_dim) + 2 * tokens**2 * width)


def pretraining_macs(spec: VideoMAESpec, num_masked: int) -> int:
    """One clip through encoder and decoder, `num_masked` of its tokens hidden; only visible ones are embedded."""
    visible = spec.num_tokens - num_masked
    encoder = transformer_macs(visible, spec.width, spec.mlp_dim, spec.depth)
    decoder = transformer_macs(spec.num_tokens, spec.decoder_width, spec.decoder_mlp_dim, spec.decoder_depth)
    embedding = visible * spec.patch_dim * spec.width
    bridge = visible * spec.width * spec.decoder_width
    head = num_masked * spec.decoder_width * spec.patch_dim
    return embedding + encoder + bridge + decoder + head


def classifier_macs(spec: VideoMAESpec, num_classes: int) -> int:
    """One clip through the encoder, all tokens, and the head."""
    embedding = spec.num_tokens * spec.patch_dim * spec.width
    return (
        embedding + transformer_macs(spec.num_tokens, spec.width, spec.mlp_dim, spec.depth) + spec.width * num_classes
    )
