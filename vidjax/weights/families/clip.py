"""CLIP: both towers as `transformers` writes them, and the vision tower alone, as `transformers` or OpenAI writes it.

OpenAI's keys are those of `model.visual` in its package, saved alone as in VideoMamba's `extract_clip`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import cast

from vidjax.errors import WeightsError
from vidjax.models.clip import ACTIVATIONS, CLIPVisionSpec
from vidjax.models.clip_text import CLIPTextSpec
from vidjax.models.video_text import VideoTextModel, VideoTextSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout, two_tower_inputs
from vidjax.weights.inspection import check_sizes, depth_of, shape_of, square_side
from vidjax.weights.rules import Rule, State

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HEAD_WIDTH = 64  # in all published models; without a config.json, it determines the number of heads
TEXT = "text_model."
OTHERS = r"^(text_model\.|text_projection\.|logit_scale$)|position_ids$"  # the rest of a text tower, and a buffer
BUFFERS = r"position_ids$"
LEGACY_END = 2  # older files give this in place of the end-of-text token, the last of the vocabulary


@dataclasses.dataclass(frozen=True)
class Names:
    """A source's names for its modules; in keys, names within a block come after the block's number."""

    patch_embed: str
    cls_token: str
    pos_embed: str
    pre_norm: str
    norm: str
    blocks: str
    norm1: str
    weights: tuple[str, ...]  # of one fused projection, or of q, k and v
    biases: tuple[str, ...]
    proj: str
    norm2: str
    fc1: str
    fc2: str
    projection: str


TRANSFORMERS = Names(
    "embeddings.patch_embedding.weight", "embeddings.class_embedding", "embeddings.position_embedding.weight",
    "pre_layrnorm", "post_layernorm", "encoder.layers.", "layer_norm1",
    tuple(f"self_attn.{part}_proj.weight" for part in "qkv"), tuple(f"self_attn.{part}_proj.bias" for part in "qkv"),
    "self_attn.out_proj", "layer_norm2", "mlp.fc1", "mlp.fc2", "visual_projection.weight",
)  # fmt: skip
OPENAI = Names(
    "conv1.weight", "class_embedding", "positional_embedding", "ln_pre", "ln_post", "transformer.resblocks.", "ln_1",
    ("attn.in_proj_weight",), ("attn.in_proj_bias",), "attn.out_proj", "ln_2", "mlp.c_fc", "mlp.c_proj", "proj",
)  # fmt: skip


def rules(spec: CLIPVisionSpec, names: Names, prefix: str) -> tuple[Rule, ...]:
    """Return the rules for a tower whose keys begin with `prefix`, except the projection's key in `transformers`."""
    found = [
        Rule(
            (prefix + names.patch_embed,), ("encoder/patch_embed/kernel",), array_layouts.patch_conv2d(spec.patch_size)
        ),
        Rule((prefix + names.cls_token,), ("encoder/cls_token",), array_layouts.SAME),
        Rule((prefix + names.pos_embed,), ("encoder/pos_embed",), array_layouts.SAME),
        *array_layouts.norm(prefix + names.pre_norm, "encoder/pre_norm"),
        *array_layouts.norm(prefix + names.norm, "encoder/norm"),
        *_blocks(spec, names, prefix + names.blocks),
    ]
    if not spec.projection:
        return tuple(found)
    form = array_layouts.LINEAR if names is TRANSFORMERS else array_layouts.SAME  # OpenAI computes x @ proj
    key = names.projection if names is TRANSFORMERS else prefix + names.projection
    return (*found, Rule((key,), ("encoder/projection/kernel",), form))


def whole_rules(spec: VideoTextSpec) -> tuple[Rule, ...]:
    """Return the rules for both towers, as `transformers` names them."""
    video, text = cast(CLIPVisionSpec, spec.video), cast(CLIPTextSpec, spec.text)
    frames = [
        dataclasses.replace(rule, targets=tuple(f"video/{path}" for path in rule.targets))
        for rule in rules(video, TRANSFORMERS, "vision_model.")
    ]
    return (
        *frames,
        Rule((TEXT + "embeddings.token_embedding.weight",), ("text/token_embed",), array_layouts.SAME),
        Rule((TEXT + "embeddings.position_embedding.weight",), ("text/pos_embed",), array_layouts.SAME),
        *_blocks(text, TRANSFORMERS, TEXT + TRANSFORMERS.blocks, "text/blocks"),
        *array_layouts.norm(TEXT + "final_layer_norm", "text/norm"),
        Rule((TRANSFORMERS.projection,), ("video_projection/kernel",), array_layouts.LINEAR),
        Rule(("text_projection.weight",), ("text_projection/kernel",), array_layouts.LINEAR),
        Rule(("logit_scale",), ("logit_scale",), array_layouts.SAME),
        Rule((), ("logit_bias",), array_layouts.zeros()),
    )


def _blocks(
    spec: CLIPVisionSpec | CLIPTextSpec, names: Names, source: str, target: str = "encoder/blocks"
) -> list[Rule]:
    block, depth, heads = source + "{}.", spec.depth, spec.num_heads
    fused = len(names.weights) == 1
    kernel = array_layouts.qkv_fused(heads) if fused else array_layouts.qkv_split(heads)
    bias = array_layouts.qkv_fused_bias(heads) if fused else array_layouts.by_head(heads)
    biases = tuple(f"{target}/attn/qkv/{part}_bias" for part in "qkv")
    return [
        *array_layouts.norm(block + names.norm1, f"{target}/norm1", depth),
        Rule(tuple(block + name for name in names.weights), (f"{target}/attn/qkv/kernel",), kernel, depth),
        Rule(tuple(block + name for name in names.biases), biases, bias, depth),
        Rule((f"{block}{names.proj}.weight",), (f"{target}/attn/proj/kernel",), array_layouts.heads_out(heads), depth),
        Rule((f"{block}{names.proj}.bias",), (f"{target}/attn/proj/bias",), array_layouts.SAME, depth),
        *array_layouts.norm(block + names.norm2, f"{target}/norm2", depth),
        *array_layouts.linear(block + names.fc1, f"{target}/fc1", depth),
        *array_layouts.linear(block + names.fc2, f"{target}/fc2", depth),
    ]


def _describe_transformers(state: State, config: Mapping | None) -> Description[CLIPVisionSpec]:
    return _describe(state, _vision_config(config), TRANSFORMERS, _transformers_prefix(state))


def _describe_openai(state: State, config: Mapping | None) -> Description[CLIPVisionSpec]:
    return _describe(state, config or {}, OPENAI, _openai_prefix(state))


def _describe(state: State, config: Mapping, names: Names, prefix: str) -> Description[CLIPVisionSpec]:
    spec = _spec(state, config, names, prefix)
    return Description("clip", spec, 0, rules(spec, names, prefix), MEAN, STD, ignore=OTHERS)


def _describe_whole(state: State, config: Mapping | None) -> Description[CLIPVisionSpec]:
    config = config or {}
    video = dataclasses.replace(_spec(state, _vision_config(config), TRANSFORMERS, "vision_model."), projection=0)
    channels = shape_of(state, TRANSFORMERS.projection, 2)[0]
    spec = VideoTextSpec(family="clip", video=video, text=_text_spec(state, config), projection=channels)
    return Description(
        "clip", video, 0, whole_rules(spec), MEAN, STD, ignore=BUFFERS,
        module=VideoTextModel(spec), inputs=two_tower_inputs(spec),
    )  # fmt: skip


def _whole_config(description: Description[CLIPVisionSpec]) -> dict:
    spec = cast(VideoTextSpec, description.texts)
    video, text = spec.video, spec.text
    if not isinstance(video, CLIPVisionSpec) or not isinstance(text, CLIPTextSpec):
        raise WeightsError("transformers' CLIPModel has CLIP's own towers, and this model has others")
    height, width = video.frame_size
    if height != width:
        raise WeightsError(f"transformers' CLIPModel takes square images; this model takes {height} x {width} pixels")
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": spec.projection,
        "vision_config": {
            **_sizes(video), "patch_size": video.patch_size, "image_size": height, "projection_dim": spec.projection,
        },
        "text_config": {
            **_sizes(text), "vocab_size": text.vocab_size, "max_position_embeddings": text.context,
            "eos_token_id": text.end, "bos_token_id": text.end - 1, "pad_token_id": text.end,
            "projection_dim": spec.projection,
        },
    }  # fmt: skip


def _sizes(spec: CLIPVisionSpec | CLIPTextSpec) -> dict:
    return {
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.mlp_dim,
        "hidden_act": spec.activation,
        "layer_norm_eps": spec.norm_eps,
    }


def _text_spec(state: State, config: Mapping) -> CLIPTextSpec:
    """Read the text tower's sizes from the arrays, and heads, activation and end token from config.json."""
    said = config.get("text_config") or {}
    vocab_size, width = shape_of(state, TEXT + "embeddings.token_embedding.weight", 2)
    depth = depth_of(state, TEXT + TRANSFORMERS.blocks)
    mlp_dim = shape_of(state, f"{TEXT}{TRANSFORMERS.blocks}0.{TRANSFORMERS.fc1}.weight", 2)[0]
    context = shape_of(state, TEXT + "embeddings.position_embedding.weight", 2)[0]
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "intermediate_size": mlp_dim}
    check_sizes(said, sizes | {"vocab_size": vocab_size, "max_position_embeddings": context})
    end = said.get("eos_token_id", LEGACY_END)
    return CLIPTextSpec(
        width=width,
        depth=depth,
        num_heads=said.get("num_attention_heads") or _usual_heads(width),
        mlp_dim=mlp_dim,
        vocab_size=vocab_size,
        context=context,
        activation=_activation(said),
        norm_eps=said.get("layer_norm_eps", 1e-5),
        end_token=None if end in (LEGACY_END, vocab_size - 1) else end,
    )


def _activation(config: Mapping) -> str:
    activation = config.get("hidden_act", "quick_gelu")
    if activation not in ACTIVATIONS:
        raise WeightsError(f"config.json says hidden_act={activation!r}; CLIP uses {' or '.join(ACTIVATIONS)}")
    return activation


def _spec(state: State, config: Mapping, names: Names, prefix: str) -> CLIPVisionSpec:
    """Read the sizes from the arrays, and heads and activation from config.json (default: as in OpenAI's models)."""
    kernel = prefix + names.patch_embed
    width, channels, patch, _ = shape_of(state, kernel, 4)
    if channels != 3:
        raise WeightsError(f"{kernel} takes {channels} channels; clips have 3")
    blocks = prefix + names.blocks
    mlp_dim = shape_of(state, f"{blocks}0.{names.fc1}.weight", 2)[0]
    side = patch * square_side(
        shape_of(state, prefix + names.pos_embed, 2)[0] - 1, f"{names.pos_embed}, without the class token,"
    )
    sizes = {"hidden_size": width, "num_hidden_layers": depth_of(state, blocks), "intermediate_size": mlp_dim}
    check_sizes(config, sizes | {"patch_size": patch, "image_size": side})
    projection = 0
    if names is OPENAI:
        projection = shape_of(state, prefix + names.projection, 2)[1]
    elif names.projection in state:
        projection = shape_of(state, names.projection, 2)[0]
    return CLIPVisionSpec(
        width,
        sizes["num_hidden_layers"],
        config.get("num_attention_heads") or _usual_heads(width),
        mlp_dim,
        projection,
        activation=_activation(config),
        patch_size=patch,
        image_size=side,
        norm_eps=config.get("layer_norm_eps", 1e-5),
    )


def _usual_heads(width: int) -> int:
    if width % HEAD_WIDTH:
        raise WeightsError(
            f"a width of {width} does not determine the number of heads: published CLIP models have heads of width "
            f"{HEAD_WIDTH}; put a config.json with num_attention_heads beside the file"
        )
    return width // HEAD_WIDTH


def _vision_config(config: Mapping | None) -> Mapping:
    """Return the vision tower's part of a whole CLIP's config.json.

    Older files omit the values that equal the defaults (the sizes of the base model). They are not needed, because
    sizes are read from the arrays.
    """
    config = config or {}
    return config.get("vision_config") or config


def _transformers_prefix(keys: Collection[str]) -> str:
    return next((p for p in ("vision_model.", "") if f"{p}{TRANSFORMERS.pre_norm}.weight" in keys), "")


def _openai_prefix(keys: Collection[str]) -> str:
    return "visual." if f"visual.{OPENAI.pre_norm}.weight" in keys else ""


def _holds_text(keys: Collection[str]) -> bool:
    return {TEXT + "embeddings.token_embedding.weight", "text_projection.weight", "logit_scale"} <= set(keys)


def _is_transformers(keys: Collection[str], config: Mapping | None) -> bool:
    return _holds_vision(keys) and not _is_whole(keys, config)


def _is_whole(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    return _holds_vision(keys) and _holds_text(keys)


def _holds_vision(keys: Collection[str]) -> bool:
    prefix = _transformers_prefix(keys)
    return {f"{prefix}{TRANSFORMERS.pre_norm}.weight", prefix + TRANSFORMERS.cls_token} <= set(keys)


def _is_openai(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    prefix = _openai_prefix(keys)
    return {f"{prefix}{OPENAI.pre_norm}.weight", prefix + OPENAI.patch_embed} <= set(keys)


LAYOUTS = (
    Layout("CLIP with texts, transformers", _is_whole, _describe_whole, _whole_config, "clip", whole_rules=whole_rules),
    Layout("CLIP, transformers", _is_transformers, _describe_transformers),
    Layout("CLIP, OpenAI", _is_openai, _describe_openai),
)
