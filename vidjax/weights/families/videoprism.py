"""VideoPrism as `transformers` writes it: the encoder, a classifier, or the model with texts.

Norms are stored with their scale minus 1. A model with texts holds a table of text positions, which shows whose
frequencies it uses: files converted by `transformers`' script do not use the authors'.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import cast

import numpy as np

from vidjax.errors import WeightsError
from vidjax.models.video_text import VideoTextModel, VideoTextSpec
from vidjax.models.videoprism import VideoPrismSpec, sine_positions
from vidjax.models.videoprism_text import POSITIONS, VideoPrismTextSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout, two_tower_inputs
from vidjax.weights.inspection import check_sizes, depth_of, labels_of, shape_of, square_side
from vidjax.weights.rules import Form, Rule, State

MEAN, STD = (0.0,) * 3, (1.0,) * 3  # pixels in [0, 1] as they are
SCALE = 100.0  # factor on similarities in the authors' notebook on videos and texts; their files have none
HEAD_WIDTH = 64  # in all published models; without a config.json, it determines the number of heads
VIDEO, VISION, TEXT = "video_model.", "vision_model.", "text_model."
PATCHES = "spatial_embeddings.patch_embeddings.projection"
TABLE = f"{TEXT}embeddings.position_embedding"
CONVERTED = (
    "its text positions have the frequencies of the conversion for transformers, not those that the authors trained "
    "with; embeddings equal those of transformers; for the original's, load the authors' file"
)
ACTIVATIONS = {"vision": ("gelu", "gelu_python"), "text": ("relu",)}
PLUS_ONE = Form(lambda weight: (weight + np.float32(1),), lambda scale: (scale - np.float32(1),))


def constant(value: float) -> Form:
    """Make a scalar leaf, for which the file has no array."""
    return Form(lambda: (np.asarray(value, np.float32),), lambda leaf: ())


def rules(spec: VideoPrismSpec, num_classes: int | None, prefix: str = "") -> tuple[Rule, ...]:
    """Return the rules for an encoder whose keys begin with `prefix`, or for a classifier, whose prefixes are fixed."""
    if num_classes:
        return (
            *encoder_rules(spec, VISION),
            *pooler_rules("", "pooler"),
            *array_layouts.linear("classifier", "head"),
        )
    return encoder_rules(spec, prefix)


def whole_rules(spec: VideoTextSpec) -> tuple[Rule, ...]:
    """Return the rules for a model with texts; its text positions are in the file but not in the tree."""
    video, text = cast(VideoPrismSpec, spec.video), cast(VideoPrismTextSpec, spec.text)
    encoder = encoder_rules(video, VIDEO + VISION)
    return (
        *(dataclasses.replace(rule, targets=tuple(f"video/{path}" for path in rule.targets)) for rule in encoder),
        *block_rules(video, VIDEO + "auxiliary_layers.{}.", "video_projection/blocks", spec.auxiliary or 0),
        *pooler_rules(VIDEO, "video_projection/pooler"),
        Rule((f"{TEXT}embeddings.token_embedding.weight",), ("text/token_embed",), array_layouts.SAME),
        Rule((f"{TEXT}embeddings.cls_emb",), ("text/cls_token",), array_layouts.TOKEN),
        *block_rules(text, TEXT + "layers.{}.", "text/blocks", text.depth),
        *norm(TEXT + "layernorm", "text/norm"),
        Rule((TABLE,), (), Form(lambda table: (), lambda: (_table(text),))),
        Rule((), ("logit_scale",), constant(np.log(SCALE))),
        Rule((), ("logit_bias",), constant(0.0)),
    )


def encoder_rules(spec: VideoPrismSpec, prefix: str) -> tuple[Rule, ...]:
    """Return the rules for the encoder's keys, which begin with `prefix`."""
    kernel = array_layouts.patch_conv3d(spec.tubelet_size, spec.patch_size)
    return (
        Rule((f"{prefix}{PATCHES}.weight",), ("encoder/patch_embed/kernel",), kernel),
        Rule((f"{prefix}{PATCHES}.bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        *(
            Rule((f"{prefix}{kind}_embeddings.position_embeddings",), (f"{place}/pos_embed",), array_layouts.POSITIONS)
            for kind, place in (("spatial", "encoder"), ("temporal", "temporal"))
        ),
        *block_rules(spec, prefix + "spatial_layers.{}.", "encoder/blocks", spec.depth),
        *norm(f"{prefix}layernorm1", "encoder/norm"),
        *block_rules(spec, prefix + "temporal_layers.{}.", "temporal/blocks", spec.temporal_depth),
        *norm(f"{prefix}layernorm2", "temporal/norm"),
    )


def block_rules(spec: VideoPrismSpec | VideoPrismTextSpec, block: str, target: str, depth: int) -> tuple[Rule, ...]:
    """Return the rules for a stack of blocks, whose keys begin with `block`."""
    heads, attn = spec.num_heads, f"{block}attention."
    weights, biases = (tuple(f"{attn}{part}_proj.{kind}" for part in "qkv") for kind in ("weight", "bias"))
    ours = tuple(f"{target}/attn/qkv/{part}_bias" for part in "qkv")
    return (
        *norm(f"{block}layernorm_before", f"{target}/norm1", depth),
        Rule(weights, (f"{target}/attn/qkv/kernel",), array_layouts.qkv_split(heads), depth),
        Rule(biases, ours, array_layouts.by_head(heads), depth),
        Rule((f"{attn}o_proj.weight",), (f"{target}/attn/proj/kernel",), array_layouts.heads_out(heads), depth),
        Rule((f"{attn}o_proj.bias",), (f"{target}/attn/proj/bias",), array_layouts.SAME, depth),
        *norm(f"{block}layernorm_after", f"{target}/norm2", depth),
        *array_layouts.linear(f"{block}mlp.fc1", f"{target}/fc1", depth),
        *array_layouts.linear(f"{block}mlp.fc2", f"{target}/fc2", depth),
    )


def pooler_rules(prefix: str, target: str) -> tuple[Rule, ...]:
    """Return the rules for pooling by a learned query."""
    parts = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "proj"}
    query = Form(lambda token: (token.reshape(1, -1),), lambda token: (token[None],))
    return (
        Rule((f"{prefix}head.pooling_attention_query",), (f"{target}/query_token",), query),
        Rule((f"{prefix}head.per_dim_scale",), (f"{target}/scale",), array_layouts.SAME),
        *(rule for a, b in parts.items() for rule in array_layouts.linear(f"{prefix}head.{a}", f"{target}/{b}")),
        *norm(f"{prefix}head_layernorm", f"{target}/norm"),
    )


def norm(source: str, target: str, depth: int = 0) -> tuple[Rule, Rule]:
    """Return the rules for a norm whose scale is stored minus 1."""
    return (
        Rule((f"{source}.weight",), (f"{target}/scale",), PLUS_ONE, depth),
        Rule((f"{source}.bias",), (f"{target}/bias",), array_layouts.SAME, depth),
    )


def _table(spec: VideoPrismTextSpec) -> np.ndarray:
    return sine_positions(spec.context, spec.width, last=spec.positions == "authors")


def _prefix(keys: Collection[str]) -> str | None:
    """Return the prefix of the encoder's keys; None if there is no encoder."""
    found = (prefix for prefix in ("", VISION, VIDEO + VISION) if f"{prefix}{PATCHES}.weight" in keys)
    return next(found, None)


def _recognises(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    return _prefix(keys) is not None and not _has_texts(keys)


def _recognises_texts(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    return _prefix(keys) is not None and _has_texts(keys)


def _has_texts(keys: Collection[str]) -> bool:
    return f"{TEXT}embeddings.token_embedding.weight" in keys


def _describe(state: State, config: Mapping | None) -> Description[VideoPrismSpec]:
    config, prefix = config or {}, _prefix(state) or ""
    num_classes = shape_of(state, "classifier.weight", 2)[0] if "classifier.weight" in state else 0
    spec = _spec(state, config, prefix)
    if num_classes:
        spec = dataclasses.replace(spec, pooler_dim=shape_of(state, "head.k_proj.weight", 2)[0])
    return Description(
        "videoprism", spec, num_classes, rules(spec, num_classes, prefix), MEAN, STD,
        labels=labels_of(config, num_classes),
    )  # fmt: skip


def _describe_texts(state: State, config: Mapping | None) -> Description[VideoPrismSpec]:
    config = config or {}
    video = _spec(state, config.get("vision_config") or {}, VIDEO + VISION)
    text = _text_spec(state, config.get("text_config") or {})
    spec = VideoTextSpec(
        family="videoprism", video=video, text=text, projection=video.width, scale=SCALE,
        auxiliary=depth_of(state, f"{VIDEO}auxiliary_layers."),
    )  # fmt: skip
    return Description(
        "videoprism", video, 0, whole_rules(spec), MEAN, STD, ignore=r"position_ids$",
        notes=() if text.positions == "authors" else (CONVERTED,),
        module=VideoTextModel(spec), inputs=two_tower_inputs(spec),
    )  # fmt: skip


def _spec(state: State, config: Mapping, prefix: str) -> VideoPrismSpec:
    """Read the sizes from the arrays, and heads, cap and epsilon from config.json (default: the public models')."""
    width, _, tubelet, height, patch = shape_of(state, f"{prefix}{PATCHES}.weight", 5)
    if (tubelet, height) != (1, patch):
        raise WeightsError(
            f"cubes of {tubelet} x {height} x {patch} cannot be read; VideoPrism's are square and 1 frame long"
        )
    frames = shape_of(state, f"{prefix}temporal_embeddings.position_embeddings", 3)[1]
    places = shape_of(state, f"{prefix}spatial_embeddings.position_embeddings", 3)[1]
    side = patch * square_side(places, "spatial_embeddings.position_embeddings")
    sizes = {
        "hidden_size": width,
        "num_spatial_layers": depth_of(state, f"{prefix}spatial_layers."),
        "num_temporal_layers": depth_of(state, f"{prefix}temporal_layers."),
        "intermediate_size": shape_of(state, f"{prefix}spatial_layers.0.mlp.fc1.weight", 2)[0],
    }
    check_sizes(config, sizes | {"num_frames": frames, "image_size": side})
    _check_activation(config, "vision")
    return VideoPrismSpec(
        width,
        sizes["num_spatial_layers"],
        _heads(config, width),
        sizes["intermediate_size"],
        sizes["num_temporal_layers"],
        config.get("attn_logit_softcapping", 50.0),
        patch_size=patch,
        num_frames=frames,
        image_size=side,
        norm_eps=config.get("layer_norm_eps", 1e-6),
    )


def _text_spec(state: State, config: Mapping) -> VideoPrismTextSpec:
    vocab_size, width = shape_of(state, f"{TEXT}embeddings.token_embedding.weight", 2)
    depth = depth_of(state, f"{TEXT}layers.")
    mlp_dim = shape_of(state, f"{TEXT}layers.0.mlp.fc1.weight", 2)[0]
    context = state[TABLE].shape[0] if TABLE in state else config.get("max_position_embeddings", 64)
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "intermediate_size": mlp_dim}
    check_sizes(config, sizes | {"vocab_size": vocab_size, "max_position_embeddings": context})
    _check_activation(config, "text")
    spec = VideoPrismTextSpec(
        width=width,
        depth=depth,
        num_heads=_heads(config, width),
        mlp_dim=mlp_dim,
        vocab_size=vocab_size,
        context=context,
        norm_eps=config.get("layer_norm_eps", 1e-6),
        logit_cap=config.get("attn_logit_softcapping", 50.0),
        pad=config.get("pad_token_id") or 0,
    )
    for positions in POSITIONS:
        found = dataclasses.replace(spec, positions=positions)
        if TABLE in state and np.allclose(state[TABLE], _table(found), atol=1e-4):
            return found
    raise WeightsError(f"{TABLE} holds neither the authors' positions nor those of transformers; save the model again")


def _check_activation(config: Mapping, tower: str) -> None:
    said = config.get("hidden_act", ACTIVATIONS[tower][0])
    if said not in ACTIVATIONS[tower]:
        raise WeightsError(
            f"config.json says hidden_act={said!r}; VideoPrism's {tower} tower has {' or '.join(ACTIVATIONS[tower])}"
        )


def _heads(config: Mapping, width: int) -> int:
    if "num_attention_heads" in config:
        return config["num_attention_heads"]
    if width % HEAD_WIDTH:
        raise WeightsError(
            f"a width of {width} does not determine the number of heads: published VideoPrism models have heads of "
            f"width {HEAD_WIDTH}; put a config.json with num_attention_heads beside the file"
        )
    return width // HEAD_WIDTH


def _config(description: Description[VideoPrismSpec]) -> dict:
    spec, classes = description.spec, description.num_classes
    if classes and spec.pooler_dim != spec.mlp_dim:
        raise WeightsError(
            f"in transformers, the attention that pools a VideoPrism classifier's tokens has mlp_dim={spec.mlp_dim} "
            f"channels; this one has {spec.pooler_dim or spec.width}: train with model.spec.pooler_dim={spec.mlp_dim}"
        )
    architecture = "VideoPrismForVideoClassification" if classes else "VideoPrismVisionModel"
    return {"model_type": "videoprism_vision_model", "architectures": [architecture], **_vision_config(spec)}


def _vision_config(spec: VideoPrismSpec) -> dict:
    height, width = spec.frame_size
    return {
        "hidden_size": spec.width,
        "num_spatial_layers": spec.depth,
        "num_temporal_layers": spec.temporal_depth,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.mlp_dim,
        "attn_logit_softcapping": spec.logit_cap,
        "layer_norm_eps": spec.norm_eps,
        "hidden_act": "gelu_python",
        "num_frames": spec.num_frames,
        "image_size": height if height == width else [height, width],
        "tubelet_size": [spec.tubelet_size, spec.patch_size, spec.patch_size],
    }


def _whole_config(description: Description[VideoPrismSpec]) -> dict:
    spec = cast(VideoTextSpec, description.texts)
    if spec.auxiliary is None:
        raise WeightsError("transformers only has VideoPrism's own head and text tower; this model has other ones")
    video, text = cast(VideoPrismSpec, spec.video), cast(VideoPrismTextSpec, spec.text)
    return {
        "model_type": "videoprism",
        "architectures": ["VideoPrismClipModel"],
        "vision_config": {**_vision_config(video), "num_auxiliary_layers": spec.auxiliary},
        "text_config": {
            "hidden_size": text.width,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.num_heads,
            "intermediate_size": text.mlp_dim,
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context,
            "attn_logit_softcapping": text.logit_cap,
            "layer_norm_eps": text.norm_eps,
            "pad_token_id": text.pad,
            "hidden_act": "relu",
        },
    }


LAYOUTS = (
    Layout("VideoPrism, transformers", _recognises, _describe, _config, "videoprism", rules),
    Layout(
        "VideoPrism with texts, transformers", _recognises_texts, _describe_texts, _whole_config, "videoprism",
        whole_rules=whole_rules,
    ),
)  # fmt: skip
