"""Rules for VideoMAE under the names of each source."""

from __future__ import annotations

import dataclasses

from vidjax.models.videomae import VideoMAESpec
from vidjax.weights import array_layouts
from vidjax.weights.rules import Rule


@dataclasses.dataclass(frozen=True)
class Names:
    """A source's names for its modules; in keys, names within a block come after the block's number."""

    patch_embed: str
    blocks: str
    norm: str
    head: str
    decoder_blocks: str
    norm1: str
    weights: tuple[str, ...]  # of one fused projection, or of q, k and v
    biases: tuple[str, ...]  # of q and v; empty if a file has none, as with qkv_bias=False in transformers
    proj: str
    norm2: str
    fc1: str
    fc2: str


OFFICIAL = Names(
    "patch_embed.proj", "blocks.", "norm", "head", "decoder.blocks.",
    "norm1", ("attn.qkv.weight",), ("attn.q_bias", "attn.v_bias"), "attn.proj", "norm2", "mlp.fc1", "mlp.fc2",
)  # fmt: skip
TRANSFORMERS = Names(
    "embeddings.patch_embeddings.projection", "encoder.layer.", "layernorm", "classifier", "decoder.decoder_layers.",
    "layernorm_before", tuple(f"attention.attention.{part}.weight" for part in ("query", "key", "value")),
    ("attention.attention.q_bias", "attention.attention.v_bias"), "attention.output.dense",
    "layernorm_after", "intermediate.dense", "output.dense",
)  # fmt: skip
TRANSFORMERS_5 = dataclasses.replace(
    TRANSFORMERS, biases=("attention.attention.query.bias", "attention.attention.value.bias")
)


def rules(spec: VideoMAESpec, num_classes: int | None, names: Names, prefix: str) -> tuple[Rule, ...]:
    """Return the rules for a model whose encoder's keys start with `prefix`.

    Args:
      num_classes: None for the pre-training module.
    """
    projection = prefix + names.patch_embed
    patches = array_layouts.patch_conv3d(spec.tubelet_size, spec.patch_size)
    found = [
        Rule((f"{projection}.weight",), ("encoder/patch_embed/kernel",), patches),
        Rule((f"{projection}.bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        *_blocks(names, prefix + names.blocks, "encoder/blocks", (spec.num_heads, spec.width), spec.depth),
    ]
    if spec.final_norm if num_classes is None else spec.pooling == "first":
        found += array_layouts.norm(prefix + names.norm, "encoder/norm")
    if num_classes is None:
        return (
            *found,
            Rule(("encoder_to_decoder.weight",), ("encoder_to_decoder/kernel",), array_layouts.LINEAR),
            Rule(("mask_token",), ("mask_token",), array_layouts.TOKEN),
            *_blocks(
                names,
                names.decoder_blocks,
                "decoder/blocks",
                (spec.decoder_heads, spec.decoder_width),
                spec.decoder_depth,
            ),
            *array_layouts.norm("decoder.norm", "decoder/norm"),
            *array_layouts.linear("decoder.head", "decoder/head"),
        )
    outer = prefix if names is OFFICIAL else ""  # transformers keeps the head outside of the model
    if spec.pooling == "mean":
        found += array_layouts.norm(f"{outer}fc_norm", "fc_norm")
    if num_classes:
        found += array_layouts.linear(outer + names.head, "head")
    return tuple(found)


def _blocks(names: Names, source: str, target: str, size: tuple[int, int], depth: int) -> list[Rule]:
    """Return the rules for `depth` blocks; `size` is (heads, width)."""
    block, (heads, width) = source + "{}.", size
    kernel = array_layouts.qkv_fused(heads) if len(names.weights) == 1 else array_layouts.qkv_split(heads)
    q_and_v = tuple(f"{target}/attn/qkv/{part}_bias" for part in "qv")
    biases = array_layouts.no_biases(q_and_v, heads, width, depth)
    if names.biases:
        biases = [Rule(tuple(block + name for name in names.biases), q_and_v, array_layouts.by_head(heads), depth)]
    return [
        *array_layouts.norm(block + names.norm1, f"{target}/norm1", depth),
        Rule(tuple(block + name for name in names.weights), (f"{target}/attn/qkv/kernel",), kernel, depth),
        *biases,
        Rule((f"{block}{names.proj}.weight",), (f"{target}/attn/proj/kernel",), array_layouts.heads_out(heads), depth),
        Rule((f"{block}{names.proj}.bias",), (f"{target}/attn/proj/bias",), array_layouts.SAME, depth),
        *array_layouts.norm(block + names.norm2, f"{target}/norm2", depth),
        *array_layouts.linear(block + names.fc1, f"{target}/mlp/fc1", depth),
        *array_layouts.linear(block + names.fc2, f"{target}/mlp/fc2", depth),
    ]
