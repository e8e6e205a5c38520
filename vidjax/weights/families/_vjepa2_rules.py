"""Rules for V-JEPA 2 under the names of each source."""

from __future__ import annotations

import dataclasses

import numpy as np

from vidjax.models.vjepa2 import VJEPA2Spec
from vidjax.weights import array_layouts
from vidjax.weights.rules import Form, Rule


@dataclasses.dataclass(frozen=True)
class BlockNames:
    """A source's names within a block, after the block's number."""

    norm1: str
    qkv: tuple[str, ...]  # one fused projection, or those of q, k and v
    proj: str
    norm2: str


@dataclasses.dataclass(frozen=True)
class Names:
    """A source's names for its modules; a block's number follows the names that end with a dot."""

    patch_embed: str
    blocks: str
    norm: str
    block: BlockNames
    predictor_embed: str
    mask_token: str
    predictor_blocks: str
    predictor_norm: str
    predictor_proj: str
    query_token: str
    pooler_blocks: str
    pooler_block: BlockNames
    pooler_norm: str  # both norms of the block with the query; the norm's number, 1 or 2, follows
    pooler_mlp: str
    head: str


_AUTHORS_BLOCK = BlockNames("norm1", ("attn.qkv",), "attn.proj", "norm2")
_CROSS = "classifier/pooler.cross_attention_block."
OFFICIAL = Names(
    "patch_embed.proj", "blocks.", "norm", _AUTHORS_BLOCK, "predictor/predictor_embed", "predictor/mask_tokens.{}",
    "predictor/predictor_blocks.", "predictor/predictor_norm", "predictor/predictor_proj",
    "classifier/pooler.query_tokens", "classifier/pooler.blocks.", _AUTHORS_BLOCK, f"{_CROSS}norm", f"{_CROSS}mlp",
    "classifier/linear",
)  # fmt: skip
_LAYER = "pooler.cross_attention_layer."
TRANSFORMERS = Names(
    "encoder.embeddings.patch_embeddings.proj", "encoder.layer.", "encoder.layernorm",
    BlockNames("norm1", tuple(f"attention.{part}" for part in ("query", "key", "value")), "attention.proj", "norm2"),
    "predictor.embeddings.predictor_embeddings", "predictor.embeddings.mask_tokens", "predictor.layer.",
    "predictor.layernorm", "predictor.proj", "pooler.query_tokens", "pooler.self_attention_layers.",
    BlockNames(
        "layer_norm1", tuple(f"self_attn.{part}_proj" for part in "qkv"), "self_attn.out_proj", "layer_norm2"
    ),
    f"{_LAYER}layer_norm", f"{_LAYER}mlp", "classifier",
)  # fmt: skip
MASK_TOKENS = Form(  # (tokens, 1, 1, d) and (tokens, d)
    lambda tokens: (tokens.reshape(len(tokens), -1),), lambda leaf: (leaf[:, None, None],)
)
KEYS_AND_VALUES = Form(  # one weight (2 d, d), rows k, v, and two kernels (d, d)
    lambda weight: tuple(np.ascontiguousarray(part.T) for part in np.split(weight, 2)),
    lambda *kernels: (np.concatenate([kernel.T for kernel in kernels]),),
)
KEYS_AND_VALUES_BIAS = Form(lambda bias: tuple(np.split(bias, 2)), lambda *biases: (np.concatenate(biases),))


def rules(
    spec: VJEPA2Spec, num_classes: int | None, names: Names, prefix: str, *, biases: bool = True
) -> tuple[Rule, ...]:
    """Return the rules for a model whose encoder's keys begin with `prefix`, as do the predictor's in `transformers`.

    Args:
      num_classes: as in `Description`.
      biases: whether the encoder and the predictor have biases of queries, keys and values.
    """
    projection, patches = prefix + names.patch_embed, array_layouts.patch_conv3d(spec.tubelet_size, spec.patch_size)
    encoder = f"{prefix}{names.blocks}{{}}.", "encoder/blocks", (spec.num_heads, spec.width, spec.depth)
    found = [
        Rule((f"{projection}.weight",), ("encoder/patch_embed/kernel",), patches),
        Rule((f"{projection}.bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        *_blocks(names.block, *encoder, biases=biases),
        *array_layouts.norm(prefix + names.norm, "encoder/norm"),
    ]
    if num_classes is None:
        found += _predictor(spec, names, prefix if names is TRANSFORMERS else "", biases=biases)
    elif num_classes:
        found += [*_pooler(spec, names), *array_layouts.linear(names.head, "head")]
    return tuple(found)


def _predictor(spec: VJEPA2Spec, names: Names, prefix: str, *, biases: bool) -> list[Rule]:
    mask_token = (prefix + names.mask_token,), ("predictor/mask_token",)
    sizes = spec.predictor_heads, spec.predictor_width, spec.predictor_depth
    blocks = f"{prefix}{names.predictor_blocks}{{}}.", "predictor/blocks", sizes
    return [
        *array_layouts.linear(prefix + names.predictor_embed, "predictor/embed"),
        Rule(*mask_token, array_layouts.TOKEN, spec.num_mask_tokens)
        if names is OFFICIAL
        else Rule(*mask_token, MASK_TOKENS),
        *_blocks(names.block, *blocks, biases=biases),
        *array_layouts.norm(prefix + names.predictor_norm, "predictor/norm"),
        *array_layouts.linear(prefix + names.predictor_proj, "predictor/out"),
    ]


def _pooler(spec: VJEPA2Spec, names: Names) -> list[Rule]:
    sizes = spec.pooler_heads, spec.width, spec.pooler_depth
    blocks = f"{names.pooler_blocks}{{}}.", "pooler/blocks", sizes
    return [
        Rule((names.query_token,), ("pooler/query_token",), array_layouts.TOKEN),
        *(_blocks(names.pooler_block, *blocks) if spec.pooler_depth else []),
        *array_layouts.norm(f"{names.pooler_norm}1", "pooler/norm1"),
        *(_fused_cross() if names is OFFICIAL else _split_cross()),
        *array_layouts.norm(f"{names.pooler_norm}2", "pooler/norm2"),
        *array_layouts.linear(f"{names.pooler_mlp}.fc1", "pooler/mlp/fc1"),
        *array_layouts.linear(f"{names.pooler_mlp}.fc2", "pooler/mlp/fc2"),
    ]


def _fused_cross() -> list[Rule]:
    both = ("pooler/cross_attn/key", "pooler/cross_attn/value")
    return [
        *array_layouts.linear(f"{_CROSS}xattn.q", "pooler/cross_attn/query"),
        Rule((f"{_CROSS}xattn.kv.weight",), tuple(f"{name}/kernel" for name in both), KEYS_AND_VALUES),
        Rule((f"{_CROSS}xattn.kv.bias",), tuple(f"{name}/bias" for name in both), KEYS_AND_VALUES_BIAS),
    ]


def _split_cross() -> list[Rule]:
    parts = ("query", "key", "value")
    pairs = [array_layouts.linear(f"{_LAYER}cross_attn.{part[0]}_proj", f"pooler/cross_attn/{part}") for part in parts]
    return [rule for pair in pairs for rule in pair]


def _blocks(
    names: BlockNames, block: str, target: str, sizes: tuple[int, int, int], *, biases: bool = True
) -> list[Rule]:
    """Return the rules for blocks whose keys begin with `block`; `sizes` are heads, width and depth."""
    heads, width, depth = sizes
    fused, qkv = len(names.qkv) == 1, f"{target}/attn/qkv"
    weights, theirs = (tuple(f"{block}{part}.{kind}" for part in names.qkv) for kind in ("weight", "bias"))
    ours = tuple(f"{qkv}/{part}_bias" for part in "qkv")
    kernel = array_layouts.qkv_fused(heads) if fused else array_layouts.qkv_split(heads)
    bias = array_layouts.qkv_fused_bias(heads) if fused else array_layouts.by_head(heads)
    found = [Rule(theirs, ours, bias, depth)] if biases else array_layouts.no_biases(ours, heads, width, depth)
    return [
        *array_layouts.norm(block + names.norm1, f"{target}/norm1", depth),
        Rule(weights, (f"{qkv}/kernel",), kernel, depth),
        *found,
        Rule((f"{block}{names.proj}.weight",), (f"{target}/attn/proj/kernel",), array_layouts.heads_out(heads), depth),
        Rule((f"{block}{names.proj}.bias",), (f"{target}/attn/proj/bias",), array_layouts.SAME, depth),
        *array_layouts.norm(block + names.norm2, f"{target}/norm2", depth),
        *array_layouts.linear(f"{block}mlp.fc1", f"{target}/mlp/fc1", depth),
        *array_layouts.linear(f"{block}mlp.fc2", f"{target}/mlp/fc2", depth),
    ]
