"""Initialise a TimeSformer from an image ViT of timm or `transformers` (arXiv:2102.05095, section 4).

Attention over time starts as a copy of attention over space, and has no effect at first. The class head is dropped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from vidjax.models.timesformer import TimeSformerSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.families._timesformer_names import OFFICIAL, TRANSFORMERS, Names
from vidjax.weights.families.timesformer import MERGE, assumed, attention_rules, block_rules, read_spec, stem_rules
from vidjax.weights.rules import Rule, State

TIMM = OFFICIAL
TRANSFORMERS_VIT = dataclasses.replace(
    TRANSFORMERS, attn=tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
)
MEAN = STD = (0.5,) * 3  # as for Google's ViTs
NO_PIXELS = (
    "the file does not say how its pixels were normalised: a mean and deviation of 0.5, as for Google's ViTs, are "
    "assumed; DINO and DeiT use ImageNet's, 0.485 0.456 0.406 and 0.229 0.224 0.225"
)
HEADS = r"^(head|pre_logits|classifier|(vit\.)?pooler)\."


def image_rules(spec: TimeSformerSpec, names: Names, prefix: str = "") -> tuple[Rule, ...]:
    """Return the rules from an image ViT's keys, which begin with `prefix`, to a TimeSformer with divided attention.

    The head is left out. Source: `load_pretrained` in the authors' code, where `temporal_fc` and the time embedding
    also start at zero.
    """
    depth, d, block = spec.depth, spec.width, f"{prefix}{names.blocks}{{}}."
    return (
        *stem_rules(spec, names, prefix),
        *block_rules(spec, names, block),
        *array_layouts.norm(block + names.norm1, "encoder/blocks/temporal_norm", depth),
        *attention_rules(spec, block, names.attn, names.proj, "temporal_attn"),
        Rule((), ("encoder/blocks/temporal_fc/kernel",), array_layouts.zeros(d, d), depth),
        Rule((), ("encoder/blocks/temporal_fc/bias",), array_layouts.zeros(d), depth),
        Rule((), ("encoder/time_embed",), array_layouts.zeros(spec.grid[0], d)),
    )


def _describe(state: State, config: Mapping, names: Names, prefix: str) -> Description[TimeSformerSpec]:
    spec = read_spec(state, config, names, prefix, "divided")
    notes = (
        "an image model: attention over time starts as a copy of that over space (temporal_attn and temporal_norm from "
        "attn and norm1), temporal_fc and time_embed start at zero, and the head is new",
        *((NO_PIXELS,) if names is TIMM else ()),
        *assumed(config, spec, time=False),
    )
    return Description(
        "timesformer", spec, 0, image_rules(spec, names, prefix), MEAN, STD, MERGE, ignore=HEADS, notes=notes
    )


def _is_timm(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    wanted = {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.bias"}
    return wanted <= set(keys) and "time_embed" not in keys


def _is_transformers(keys: Collection[str], config: Mapping | None) -> bool:
    if (config or {}).get("model_type", "vit") != "vit":
        return False
    prefix = _transformers_prefix(keys)
    wanted = {"embeddings.cls_token", "encoder.layer.0.attention.attention.query.weight"}
    return {prefix + key for key in wanted} <= set(keys)


def _transformers_prefix(keys: Collection[str]) -> str:
    return "vit." if "vit.embeddings.cls_token" in keys else ""


def _describe_transformers(state: State, config: Mapping | None) -> Description[TimeSformerSpec]:
    config = {"layer_norm_eps": 1e-12} | dict(config or {})  # transformers' default, unlike everyone else's 1e-6
    return _describe(state, config, TRANSFORMERS_VIT, _transformers_prefix(state))


LAYOUTS = (
    Layout("image ViT, timm", _is_timm, lambda state, config: _describe(state, config or {}, TIMM, "")),
    Layout("image ViT, transformers", _is_transformers, _describe_transformers),
)
