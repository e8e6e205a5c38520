"""V-JEPA 2 checkpoints: the authors' `.pt` files (encoder and predictor, or a probe), and those of `transformers`.

In the authors' files, `checkpoint_contents` has put `encoder/`, `target_encoder/` or `predictor/` before the keys of
each network. It has read a probe, under `classifier/`, together with the encoder that the probe was trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from vidjax.config import IMAGENET_MEAN, IMAGENET_STD
from vidjax.errors import WeightsError
from vidjax.models.vjepa2 import VJEPA2_SPECS, VJEPA2Spec
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.families._vjepa2_rules import OFFICIAL, TRANSFORMERS, Names, rules
from vidjax.weights.inspection import NO_BIASES, check_sizes, depth_note, depth_of, labels_of, shape_of
from vidjax.weights.rules import Rule, State

PUBLISHED = {spec.width: spec for name, spec in VJEPA2_SPECS.items() if name != "tiny"}
POSITIONS = r"(^|[/.])(predictor_)?pos_embed$"  # sine-cosine tables, which models with rotary positions do not use
ENCODERS = ("encoder/", "target_encoder/", "")
# Fields of the spec that the arrays do not give, and their keys in config.json.
LEFT_OPEN = {"num_frames": "frames_per_clip", "image_size": "crop_size", "levels": "levels"}
PREDICTOR_LEFT_OUT = "the predictor, which only pre-training uses, is left out"


def _describe_official(state: State, config: Mapping | None) -> Description[VJEPA2Spec]:
    config, probe = config or {}, any(key.startswith("classifier/") for key in state)
    prefix = _encoder_prefix(state, probe)
    spec = _read_spec(state, config, OFFICIAL, prefix)
    notes, ignore = list(depth_note(config, spec, VJEPA2_SPECS)), [POSITIONS]
    num_classes: int | None = 0
    if probe:
        num_classes, width = shape_of(state, f"{OFFICIAL.head}.weight", 2)
        if width != spec.width:
            raise WeightsError(
                f"the probe reads features of width {width}, but the encoder beside it has width {spec.width}; "
                "replace that encoder with the one that the probe was trained on"
            )
        ignore += [rf"^{other}" for other in (*ENCODERS[:2], "predictor/") if other != prefix]
        notes.append(f"the probe reads the features of {prefix.rstrip('/') or 'encoder'}")
    elif "predictor/action_encoder.weight" in state:
        ignore += ["^predictor/", "^target_encoder/"]
        notes.append("the file holds V-JEPA 2-AC; its predictor, which takes a robot's actions, is left out")
    else:
        num_classes = None if f"{OFFICIAL.predictor_embed}.weight" in state else 0
        notes += _other_encoder(state, prefix)
        ignore += [rf"^{other}" for other in ENCODERS[:2] if other != prefix]
    if any(key.endswith("pos_embed") for key in state):
        notes.append("the file's table of positions (pos_embed) is not used: V-JEPA 2 has rotary positions")
    return Description(
        "vjepa2", spec, num_classes, rules(spec, num_classes, OFFICIAL, prefix), IMAGENET_MEAN, IMAGENET_STD,
        ignore="|".join(ignore), notes=tuple(notes),
        left_open=tuple(field for field, key in LEFT_OPEN.items() if key not in config),
    )  # fmt: skip


def _other_encoder(state: State, used: str) -> list[str]:
    """Return a note on the second encoder in a pre-training file."""
    other = "target_encoder/"
    pairs = [(key, used + key.removeprefix(other)) for key in state if key.startswith(other)]
    if used == other or not pairs:
        return []
    same = all(ours in state and np.array_equal(state[theirs], state[ours]) for theirs, ours in pairs)
    found = "equals it" if same else "differs"
    return [f"encoder is used, as in the authors' hub code; target_encoder, its moving average, {found}"]


def _encoder_prefix(state: State, probe: bool = False) -> str:
    """Return the prefix of the encoder's keys; probes read the moving average, as in the authors' configs/eval."""
    order = ("target_encoder/", "encoder/", "") if probe else ENCODERS
    return next((p for p in order if f"{p}{OFFICIAL.patch_embed}.weight" in state), "")


def _describe_transformers(state: State, config: Mapping | None) -> Description[VJEPA2Spec]:
    said = config or {}
    if said.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"config.json says hidden_act={said['hidden_act']!r}; a V-JEPA 2 has gelu")
    prefix = _transformers_prefix(state)
    spec = _read_spec(state, said, TRANSFORMERS, prefix)
    biases, notes, ignore = said.get("qkv_bias", True), [], ""
    if not biases:
        notes.append(NO_BIASES)
    num_classes: int | None = 0
    if f"{TRANSFORMERS.head}.weight" in state:
        num_classes = shape_of(state, f"{TRANSFORMERS.head}.weight", 2)[0]
        if any(key.startswith(f"{prefix}predictor.") for key in state):
            ignore = rf"^{prefix}predictor\."
            notes.append(PREDICTOR_LEFT_OUT)
    elif f"{prefix}{TRANSFORMERS.predictor_embed}.weight" in state:
        num_classes = None
    return Description(
        "vjepa2", spec, num_classes, rules(spec, num_classes, TRANSFORMERS, prefix, biases=biases), IMAGENET_MEAN,
        IMAGENET_STD, ignore=ignore, labels=labels_of(config, num_classes or 0), notes=tuple(notes),
        left_open=() if config else ("num_frames", "image_size"),
    )  # fmt: skip


def _read_spec(state: State, config: Mapping, names: Names, prefix: str) -> VJEPA2Spec:
    """Read sizes from the arrays, and the rest from config.json or else from the published models."""
    kernel = f"{prefix}{names.patch_embed}.weight"
    width, channels, tubelet, patch, patch_width = shape_of(state, kernel, 5)
    if channels != 3 or patch != patch_width:
        raise WeightsError(
            f"{kernel} takes {channels} channels and patches of {patch} x {patch_width} pixels; expected 3 channels "
            "and square patches"
        )
    depth = depth_of(state, prefix + names.blocks)
    mlp_dim = shape_of(state, f"{prefix}{names.blocks}0.mlp.fc1.weight", 2)[0]
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "patch_size": patch, "tubelet_size": tubelet}
    check_sizes(config, sizes)
    usual = PUBLISHED.get(width)
    ours = names is OFFICIAL
    heads = config.get("num_attention_heads", usual and usual.num_heads if ours or not config else 16)
    if heads is None:
        raise WeightsError(
            f"a width of {width}, which no published V-JEPA 2 has, does not determine the number of heads; put a "
            "config.json with num_attention_heads (and pred_num_attention_heads) beside the file"
        )
    eps, size = config.get("layer_norm_eps", 1e-6), config.get("crop_size", 256)
    spec = VJEPA2Spec(
        width, depth, heads, mlp_dim, patch_size=patch, tubelet_size=tubelet,
        num_frames=config.get("frames_per_clip", 64), image_size=size, norm_eps=eps,
        pooler_heads=config.get("pooler_heads", 16 if usual else heads) if ours else heads,
        pooler_norm_eps=1e-5 if ours else eps, levels=tuple(config.get("levels", ())) if ours else (),
    )  # fmt: skip
    return _with_pooler(state, config, names, _with_predictor(state, config, names, prefix, spec))


def _with_predictor(state: State, config: Mapping, names: Names, prefix: str, spec: VJEPA2Spec) -> VJEPA2Spec:
    """Return the spec with the predictor's sizes, from the file or else from config.json."""
    prefix = prefix if names is TRANSFORMERS else ""
    width = config.get("pred_hidden_size", 384)
    sizes = {
        "predictor_width": width,
        "predictor_depth": config.get("pred_num_hidden_layers", 12),
        "predictor_heads": config.get("pred_num_attention_heads", 12),
        "predictor_mlp_dim": int(width * config.get("pred_mlp_ratio", 4.0)),
        "num_mask_tokens": config.get("pred_num_mask_tokens", 10),
    }
    embed = f"{prefix}{names.predictor_embed}.weight"
    if embed in state and "predictor/action_encoder.weight" not in state:
        blocks = prefix + names.predictor_blocks
        sizes["predictor_width"] = shape_of(state, embed, 2)[0]
        sizes["predictor_depth"] = depth_of(state, blocks)
        sizes["predictor_mlp_dim"] = shape_of(state, f"{blocks}0.mlp.fc1.weight", 2)[0]
        if names is TRANSFORMERS:
            sizes["num_mask_tokens"] = shape_of(state, prefix + names.mask_token, 4)[0]
        else:
            tokens = names.mask_token.removesuffix("{}")
            sizes["num_mask_tokens"] = sum(key.startswith(tokens) for key in state)
        check_sizes(
            config,
            {
                "pred_hidden_size": sizes["predictor_width"],
                "pred_num_hidden_layers": sizes["predictor_depth"],
                "pred_num_mask_tokens": sizes["num_mask_tokens"],
            },
        )
    return dataclasses.replace(spec, **sizes)


def _with_pooler(state: State, config: Mapping, names: Names, spec: VJEPA2Spec) -> VJEPA2Spec:
    """Return the spec with the pooler's depth, from the file or else from config.json."""
    if names.query_token not in state:
        return dataclasses.replace(spec, pooler_depth=config.get("num_pooler_layers", 3))
    depth = depth_of(state, names.pooler_blocks)
    check_sizes(config, {"num_pooler_layers": depth})
    return dataclasses.replace(spec, pooler_depth=depth)


def _is_official(keys: Collection[str], config: Mapping | None) -> bool:
    """Recognise the authors' files; a joint bias of queries, keys and values tells an encoder from VideoMAE's."""
    del config
    return any(
        {f"{p}{OFFICIAL.patch_embed}.weight", f"{p}blocks.0.attn.qkv.bias", f"{p}norm.weight"} <= set(keys)
        and f"{p}cls_token" not in keys
        for p in ENCODERS
    )


def _transformers_prefix(keys: Collection[str]) -> str:
    return "vjepa2." if f"vjepa2.{TRANSFORMERS.patch_embed}.weight" in keys else ""


def _is_transformers(keys: Collection[str], config: Mapping | None) -> bool:
    if config and config.get("model_type", "vjepa2") != "vjepa2":
        return False
    prefix = _transformers_prefix(keys)
    return {f"{prefix}{TRANSFORMERS.patch_embed}.weight", f"{prefix}encoder.layer.0.attention.query.weight"} <= set(
        keys
    )


def _official_rules(spec: VJEPA2Spec, num_classes: int | None) -> tuple[Rule, ...]:
    return rules(spec, num_classes, OFFICIAL, "encoder/")


def _transformers_rules(spec: VJEPA2Spec, num_classes: int | None) -> tuple[Rule, ...]:
    return rules(spec, num_classes, TRANSFORMERS, "vjepa2." if num_classes else "")


def _transformers_config(description: Description[VJEPA2Spec]) -> dict:
    spec, classes = description.spec, description.num_classes
    height, width = spec.frame_size
    if height != width:
        raise WeightsError(f"transformers' V-JEPA 2 takes square frames; this model takes {height} x {width}")
    if classes and spec.levels:
        raise WeightsError(f"the pooler reads the blocks {spec.levels}; in transformers, it reads only the last")
    if classes and spec.pooler_heads != spec.num_heads:
        raise WeightsError(
            f"the pooler has {spec.pooler_heads} heads; in transformers, it has the encoder's {spec.num_heads}"
        )
    return {
        "model_type": "vjepa2",
        "architectures": ["VJEPA2ForVideoClassification" if classes else "VJEPA2Model"],
        "patch_size": spec.patch_size,
        "crop_size": height,
        "frames_per_clip": spec.num_frames,
        "tubelet_size": spec.tubelet_size,
        "hidden_size": spec.width,
        "num_attention_heads": spec.num_heads,
        "num_hidden_layers": spec.depth,
        "mlp_ratio": _ratio(spec.mlp_dim, spec.width),
        "layer_norm_eps": spec.norm_eps,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "num_pooler_layers": spec.pooler_depth,
        "pred_hidden_size": spec.predictor_width,
        "pred_num_attention_heads": spec.predictor_heads,
        "pred_num_hidden_layers": spec.predictor_depth,
        "pred_num_mask_tokens": spec.num_mask_tokens,
        "pred_mlp_ratio": _ratio(spec.predictor_mlp_dim, spec.predictor_width),
    }


def _ratio(mlp_dim: int, width: int) -> float:
    """Return a ratio from which `transformers`, rounding down, computes `mlp_dim`."""
    ratio = mlp_dim / width
    return ratio if int(width * ratio) == mlp_dim else (mlp_dim + 0.5) / width


LAYOUTS = (
    Layout("V-JEPA 2, official", _is_official, _describe_official, None, "vjepa2", _official_rules),
    Layout(
        "V-JEPA 2, transformers", _is_transformers, _describe_transformers,
        _transformers_config, "vjepa2", _transformers_rules,
    ),
)  # fmt: skip
