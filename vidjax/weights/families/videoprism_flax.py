"""VideoPrism in its authors' files (google-deepmind/videoprism): the encoder, a classifier, or the model with texts.

These are .npz files with the paths of a Flax tree as names. Blocks are stacked on axis 0, as in vidjax, and norms are
stored with their scale minus 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping

import numpy as np

from vidjax.errors import WeightsError
from vidjax.models.video_text import VideoTextModel, VideoTextSpec
from vidjax.models.videoprism import VideoPrismSpec
from vidjax.models.videoprism_text import VideoPrismTextSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout, two_tower_inputs
from vidjax.weights.families.videoprism import MEAN, PLUS_ONE, SCALE, STD, constant
from vidjax.weights.inspection import shape_of, square_side
from vidjax.weights.rules import Form, Rule, State

ROOT = "params/"
CLASSIFIER, WITH_TEXTS = "params/encoder/", "params/vision_encoder/"
PATCHES = "patch_projection/linear/kernel"
TEXT = "params/text_encoder/"
POOLER = "params/contrastive_vision_pooler/"
VIDEO_STACK, TEXT_STACK = "transformers_stack/x_layers/", "unimodal_transformer/x_layers/"
PARTS = ("query", "key", "value")

_KERNELS = Form(lambda *ws: (np.stack(ws, axis=2),), lambda kernel: tuple(np.moveaxis(kernel, 2, 0)))
_OUT = Form(lambda w: (w.transpose(0, 2, 3, 1),), lambda kernel: (kernel.transpose(0, 3, 1, 2),))
_FLAT_IN = Form(lambda w: (w.reshape(len(w), -1),), lambda kernel: (kernel,))  # (d, heads, e) and (d, heads e)
_FLAT_OUT = Form(lambda w: (w.reshape(len(w), -1).T,), lambda kernel: (kernel.T,))
_FLAT = Form(lambda bias: (bias.ravel(),), lambda bias: (bias,))


def encoder_rules(prefix: str, target: str = "") -> tuple[Rule, ...]:
    """Return the rules for the encoder's keys, which begin with `prefix`."""
    place, later = f"{target}encoder/", f"{target}temporal/"
    return (
        *_linear(f"{prefix}patch_projection/linear", f"{place}patch_embed"),
        Rule((f"{prefix}spatial_pos_emb/emb_var",), (f"{place}pos_embed",), array_layouts.SAME),
        Rule((f"{prefix}temporal_pos_emb/emb_var",), (f"{later}pos_embed",), array_layouts.SAME),
        *_block_rules(f"{prefix}spatial_encoder/{VIDEO_STACK}", f"{place}blocks"),
        *_norm(f"{prefix}spatial_ln", f"{place}norm"),
        *_block_rules(f"{prefix}temporal_encoder/{VIDEO_STACK}", f"{later}blocks"),
        *_norm(f"{prefix}temporal_ln", f"{later}norm"),
    )


def _block_rules(source: str, target: str) -> tuple[Rule, ...]:
    attn, names = f"{source}self_attention/", tuple(f"{target}/attn/qkv/{part}_bias" for part in "qkv")
    return (
        *_norm(f"{source}layer_norm", f"{target}/norm1"),
        Rule(tuple(f"{attn}{part}/w" for part in PARTS), (f"{target}/attn/qkv/kernel",), _KERNELS),
        Rule(tuple(f"{attn}{part}/b" for part in PARTS), names, array_layouts.SAME),
        Rule((f"{attn}post/w",), (f"{target}/attn/proj/kernel",), _OUT),
        Rule((f"{attn}post/b",), (f"{target}/attn/proj/bias",), array_layouts.SAME),
        *_norm(f"{source}ff_layer/layer_norm", f"{target}/norm2"),
        *_linear(f"{source}ff_layer/ffn_layer1/linear", f"{target}/fc1"),
        *_linear(f"{source}ff_layer/ffn_layer2/linear", f"{target}/fc2"),
    )


def _pooler_rules(source: str, target: str) -> tuple[Rule, ...]:
    attn = f"{source}pooling_attention/"
    return (
        Rule((f"{source}pooling_attention_query",), (f"{target}/query_token",), array_layouts.SAME),
        Rule((f"{attn}per_dim_scale/per_dim_scale",), (f"{target}/scale",), array_layouts.SAME),
        *(Rule((f"{attn}{part}/w",), (f"{target}/{part}/kernel",), _FLAT_IN) for part in PARTS),
        *(Rule((f"{attn}{part}/b",), (f"{target}/{part}/bias",), _FLAT) for part in PARTS),
        Rule((f"{attn}post/w",), (f"{target}/proj/kernel",), _FLAT_OUT),
        Rule((f"{attn}post/b",), (f"{target}/proj/bias",), array_layouts.SAME),
        *_norm(f"{source}pooling_attention_layer_norm", f"{target}/norm"),
    )


def _norm(source: str, target: str) -> tuple[Rule, Rule]:
    return (
        Rule((f"{source}/scale",), (f"{target}/scale",), PLUS_ONE),
        Rule((f"{source}/bias",), (f"{target}/bias",), array_layouts.SAME),
    )


def _linear(source: str, target: str) -> tuple[Rule, Rule]:
    kernel, bias = ((f"{source}/{leaf}",) for leaf in ("kernel", "bias"))
    return (
        Rule(kernel, (f"{target}/kernel",), array_layouts.SAME),
        Rule(bias, (f"{target}/bias",), array_layouts.SAME),
    )


def _prefix(keys: Collection[str]) -> str | None:
    """Return the prefix of the encoder's keys; None if there is no encoder."""
    found = (prefix for prefix in (ROOT, CLASSIFIER, WITH_TEXTS) if f"{prefix}{PATCHES}" in keys)
    return next(found, None)


def _recognises(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    return _prefix(keys) is not None


def _describe(state: State, config: Mapping | None) -> Description[VideoPrismSpec]:
    del config
    prefix = _prefix(state) or ROOT
    if prefix == WITH_TEXTS:
        return _describe_texts(state)
    spec, found = _spec(state, prefix), encoder_rules(prefix)
    if prefix == ROOT:
        return Description("videoprism", spec, 0, found, MEAN, STD)
    inner = math.prod(shape_of(state, "params/atten_pooler/pooling_attention/key/w", 3)[1:])
    spec = dataclasses.replace(spec, pooler_dim=inner)
    num_classes = shape_of(state, "params/projection/linear/kernel", 2)[1]
    head = (*_pooler_rules("params/atten_pooler/", "pooler"), *_linear("params/projection/linear", "head"))
    return Description("videoprism", spec, num_classes, (*found, *head), MEAN, STD)


def _describe_texts(state: State) -> Description[VideoPrismSpec]:
    video = _spec(state, WITH_TEXTS)
    vocab_size, width = shape_of(state, f"{TEXT}token_emb/emb_var", 2)
    depth, _, heads, _ = shape_of(state, f"{TEXT}{TEXT_STACK}self_attention/query/w", 4)
    mlp_dim = shape_of(state, f"{TEXT}{TEXT_STACK}ff_layer/ffn_layer1/linear/kernel", 3)[2]
    text = VideoPrismTextSpec(width=width, depth=depth, num_heads=heads, mlp_dim=mlp_dim, vocab_size=vocab_size)
    auxiliary = shape_of(state, f"params/auxiliary_encoder/{VIDEO_STACK}layer_norm/scale", 2)[0]
    spec = VideoTextSpec(
        family="videoprism", video=video, text=text, projection=width, scale=SCALE, auxiliary=auxiliary
    )
    rules = (
        *encoder_rules(WITH_TEXTS, "video/"),
        *_block_rules(f"params/auxiliary_encoder/{VIDEO_STACK}", "video_projection/blocks"),
        *_pooler_rules(POOLER, "video_projection/pooler"),
        Rule((f"{TEXT}token_emb/emb_var",), ("text/token_embed",), array_layouts.SAME),
        Rule((f"{TEXT}cls_emb",), ("text/cls_token",), array_layouts.TOKEN),
        *_block_rules(f"{TEXT}{TEXT_STACK}", "text/blocks"),
        *_norm(f"{TEXT}unimodal_ln", "text/norm"),
        Rule((), ("logit_scale",), constant(math.log(SCALE))),
        Rule((), ("logit_bias",), constant(0.0)),
    )
    return Description(
        "videoprism", video, 0, rules, MEAN, STD, module=VideoTextModel(spec), inputs=two_tower_inputs(spec)
    )


def _spec(state: State, prefix: str) -> VideoPrismSpec:
    """Read the sizes from the arrays; the cap of the attention logits is that of all published models."""
    values, width = shape_of(state, f"{prefix}{PATCHES}", 2)
    if values % 3:
        raise WeightsError(f"{prefix}{PATCHES} takes patches of {values} values; 3 channels need a multiple of 3")
    patch = square_side(values // 3, f"{prefix}{PATCHES}", "pixels per patch")
    space, time = f"{prefix}spatial_encoder/{VIDEO_STACK}", f"{prefix}temporal_encoder/{VIDEO_STACK}"
    depth, _, heads, _ = shape_of(state, f"{space}self_attention/query/w", 4)
    return VideoPrismSpec(
        width,
        depth,
        heads,
        shape_of(state, f"{space}ff_layer/ffn_layer1/linear/kernel", 3)[2],
        shape_of(state, f"{time}layer_norm/scale", 2)[0],
        patch_size=patch,
        num_frames=shape_of(state, f"{prefix}temporal_pos_emb/emb_var", 2)[0],
        image_size=patch * square_side(shape_of(state, f"{prefix}spatial_pos_emb/emb_var", 2)[0], "spatial_pos_emb"),
    )


LAYOUTS = (Layout("VideoPrism, official", _recognises, _describe),)
