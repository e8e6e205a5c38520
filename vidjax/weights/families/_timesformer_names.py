"""The names of TimeSformer's modules in the authors' code and in `transformers`."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Names:
    """A source's names for its modules; in keys, names within a block come after `blocks` and the block's number."""

    patch_embed: str
    cls_token: str
    pos_embed: str
    norm: str
    head: str
    blocks: str
    norm1: str
    attn: tuple[str, ...]  # one fused projection, or q, k and v
    proj: str
    norm2: str
    fc1: str
    fc2: str
    time_embed: str = ""
    temporal_norm: str = ""
    temporal_attn: tuple[str, ...] = ()
    temporal_proj: str = ""
    temporal_fc: str = ""


OFFICIAL = Names(
    "patch_embed.proj", "cls_token", "pos_embed", "norm", "head", "blocks.",
    "norm1", ("attn.qkv",), "attn.proj", "norm2", "mlp.fc1", "mlp.fc2",
    "time_embed", "temporal_norm1", ("temporal_attn.qkv",), "temporal_attn.proj", "temporal_fc",
)  # fmt: skip
TRANSFORMERS = Names(
    "embeddings.patch_embeddings.projection", "embeddings.cls_token", "embeddings.position_embeddings",
    "layernorm", "classifier", "encoder.layer.",
    "layernorm_before", ("attention.attention.qkv",), "attention.output.dense",
    "layernorm_after", "intermediate.dense", "output.dense",
    "embeddings.time_embeddings", "temporal_layernorm", ("temporal_attention.attention.qkv",),
    "temporal_attention.output.dense", "temporal_dense",
)  # fmt: skip
