"""The model, and low-rank adaptation."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from vidjax.config.types import Auto, Count, Fraction, MayChange, NotNegative, OneOf, OrAuto

# Choices that are the keys of a table, named as module:TABLE.
Mask = Annotated[str, OneOf("vidjax.ops.masking:MASKS", also=("attention",))]
DecoderMask = Annotated[str, OneOf("vidjax.ops.masking:DECODER_MASKS", empty=True)]
Remat = Annotated[str, OneOf("vidjax.models.layers:REMAT", empty=True), Auto("")]
Attention = Annotated[str, OneOf("vidjax.ops.attention:IMPLEMENTATIONS", empty=True)]

Dtype = Annotated[Literal["", "float32", "bfloat16"], Auto("")]


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Low-rank adaptation: the backbone uses W + alpha / rank * A B; its weights W are frozen, A and B are trained."""

    rank: NotNegative[int] = 0  # Rank of the change of each adapted projection. 0: LoRA is off.
    alpha: NotNegative[float] = 16.0  # The change of a projection is multiplied by alpha / rank
    # Regular expressions for the names of the projections that LoRA adapts, such as "attn/(query|value)$" or "mlp".
    # Empty: queries and values of attention; in_proj, x_proj and out_proj of Mamba.
    targets: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The model, and settings shared by all families; settings of a single family go under `spec`."""

    # A name from `vidjax models`, or module:ATTR or module:ATTR.SIZE for a family of your own. Empty: the model of
    # init_from, or else a size that suits the machine; only experiments with a recipe per size allow this.
    name: str = "videomae_base"
    # Fields of the family's spec to change; the others keep the preset's values.
    spec: dict = dataclasses.field(default_factory=dict)
    # How masked_autoencoding and feature_alignment pick the cubes to hide. tube: the same random places in every time
    # slice. random: any cubes. frame: whole time slices. attention, for feature_alignment only: the cubes to keep are
    # drawn in proportion to the attention of the teacher's class token.
    mask: Mask = "tube"
    mask_ratio: Fraction = 0.9  # Share of the cubes that model.mask hides
    # Which cubes the decoder predicts. Empty: all hidden ones. running_cell: some cubes of every 2x2 cell, whether or
    # not the encoder sees them; those that it sees do not count in the loss.
    decoder_mask: DecoderMask = ""
    decoder_mask_ratio: Fraction = 0.5  # Share of the cubes that running_cell leaves out: 0.25, 0.5 or 0.75
    # Predict pixels normalised per cube and channel, as in VideoMAE's paper, instead of the pixels themselves.
    normalize_target: bool = True
    # Rate of stochastic depth in the last block; it grows linearly from 0 in the first block.
    drop_path: Fraction = 0.0
    head_dropout: Fraction = 0.0  # Dropout before each layer of the head
    # weighted_tokens: a learned average of all tokens. attentive: a learned query attends to all tokens. attentive4:
    # the same after three blocks of self-attention, as in V-JEPA 2's probes. Empty: the family's own pooling.
    pooling: Literal["", "weighted_tokens", "attentive", "attentive4"] = ""
    pooling_heads: Count = 16  # For attentive poolings: number of attention heads; must divide the tokens' width
    # Widths of hidden layers between the pooled tokens and the classes. Empty: a linear head.
    head_widths: tuple[int, ...] = ()
    freeze_backbone: bool = False  # Train only the head; the backbone drops no paths, as in evaluation
    lora: LoraConfig = LoraConfig()
    # Dtype of the computation; parameters are float32. Empty: float32 on a CPU, otherwise bfloat16.
    dtype: Dtype = "bfloat16"
    # What is kept for the backward pass, which recomputes the rest to save memory. none: everything. dots: the outputs
    # of matrix products, attention and scans. attention: the outputs of attention, and the input of each block. scans:
    # the outputs of scans, and the input of each block. full: only the input of each block. Empty: depends on the
    # model, the platform and the memory.
    remat: MayChange[Remat] = ""
    # A stack of at most this many layers is compiled without a loop. 0: depends on the platform, model and task.
    unroll: MayChange[OrAuto[int]] = 0
    # Implementation from vidjax.ops.attention. Empty: depends on the platform and the size of the input.
    attention: MayChange[Attention] = ""
