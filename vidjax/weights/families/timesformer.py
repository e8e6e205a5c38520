"""TimeSformer checkpoints: the authors' `.pyth` files, and those of `transformers`, which rename the modules."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vidjax.errors import WeightsError
from vidjax.models.timesformer import TIMESFORMER_SPECS, TimeSformerSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.families._timesformer_names import OFFICIAL, TRANSFORMERS, Names
from vidjax.weights.inspection import (
    NO_BIASES,
    check_sizes,
    depth_note,
    depth_of,
    frames_note,
    labels_of,
    shape_of,
    square_side,
)
from vidjax.weights.rules import Form, Rule, State

MEAN, STD, MERGE = (0.45,) * 3, (0.225,) * 3, "sum_logits"
HEAD_WIDTH = 64  # in all published models; without a config.json, it determines the number of heads
NUM_FRAMES = 8  # assumed if the arrays do not determine it, as for space-only attention and image models
PER_FRAME = (
    "with attention_type=space_only, transformers scores each frame; the original, like vidjax, averages frames first"
)
TRANSFORMERS_TYPES = {"divided": "divided_space_time", "joint": "joint_space_time", "space_only": "space_only"}


def rules(
    spec: TimeSformerSpec, num_classes: int, names: Names, prefix: str = "", *, biases: bool = True
) -> tuple[Rule, ...]:
    """Return the rules for a TimeSformer's keys, which begin with `prefix`, except the head's keys in `transformers`.

    Args:
      biases: whether the file has biases of queries, keys and values.
    """
    depth, block = spec.depth, f"{prefix}{names.blocks}{{}}."
    found = [*stem_rules(spec, names, prefix), *block_rules(spec, names, block, biases=biases)]
    if spec.attention_type != "space_only":
        found += [Rule((prefix + names.time_embed,), ("encoder/time_embed",), array_layouts.POSITIONS)]
    if spec.attention_type == "divided":
        found += [
            *array_layouts.norm(block + names.temporal_norm, "encoder/blocks/temporal_norm", depth),
            *attention_rules(spec, block, names.temporal_attn, names.temporal_proj, "temporal_attn", biases=biases),
            *array_layouts.linear(block + names.temporal_fc, "encoder/blocks/temporal_fc", depth),
        ]
    if num_classes:
        found += array_layouts.linear(names.head if names is TRANSFORMERS else prefix + names.head, "head")
    return tuple(found)


def stem_rules(spec: TimeSformerSpec, names: Names, prefix: str) -> list[Rule]:
    """Return the rules for everything outside of the blocks, except the time embedding and the head."""
    return [
        Rule((f"{prefix}{names.patch_embed}.weight",), ("encoder/patch_embed/kernel",), _patches(spec)),
        Rule((f"{prefix}{names.patch_embed}.bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        Rule((prefix + names.cls_token,), ("encoder/cls_token",), array_layouts.TOKEN),
        Rule((prefix + names.pos_embed,), ("encoder/pos_embed",), array_layouts.POSITIONS),
        *array_layouts.norm(prefix + names.norm, "encoder/norm"),
    ]


def block_rules(spec: TimeSformerSpec, names: Names, block: str, *, biases: bool = True) -> list[Rule]:
    """Return the rules for spatial attention and the MLP in the blocks whose keys begin with `block`."""
    return [
        *array_layouts.norm(block + names.norm1, "encoder/blocks/norm1", spec.depth),
        *attention_rules(spec, block, names.attn, names.proj, "attn", biases=biases),
        *array_layouts.norm(block + names.norm2, "encoder/blocks/norm2", spec.depth),
        *array_layouts.linear(block + names.fc1, "encoder/blocks/mlp/fc1", spec.depth),
        *array_layouts.linear(block + names.fc2, "encoder/blocks/mlp/fc2", spec.depth),
    ]


def attention_rules(
    spec: TimeSformerSpec, block: str, parts: tuple[str, ...], proj: str, target: str, *, biases: bool = True
) -> list[Rule]:
    """Return the rules for one attention layer, from its projections `parts` and `proj` to the module `target`."""
    heads, depth, at = spec.num_heads, spec.depth, f"encoder/blocks/{target}"
    fused = len(parts) == 1
    weights, theirs = (tuple(f"{block}{part}.{kind}" for part in parts) for kind in ("weight", "bias"))
    ours = tuple(f"{at}/qkv/{part}_bias" for part in "qkv")
    kernel = array_layouts.qkv_fused(heads) if fused else array_layouts.qkv_split(heads)
    bias = array_layouts.qkv_fused_bias(heads) if fused else array_layouts.by_head(heads)
    found = [Rule(theirs, ours, bias, depth)] if biases else array_layouts.no_biases(ours, heads, spec.width, depth)
    return [
        Rule(weights, (f"{at}/qkv/kernel",), kernel, depth),
        *found,
        Rule((f"{block}{proj}.weight",), (f"{at}/proj/kernel",), array_layouts.heads_out(heads), depth),
        Rule((f"{block}{proj}.bias",), (f"{at}/proj/bias",), array_layouts.SAME, depth),
    ]


def _patches(spec: TimeSformerSpec) -> Form:
    if spec.tubelet_size != 1:
        raise WeightsError(
            f"a TimeSformer with tubelet_size={spec.tubelet_size} cannot be exported: the original embeds single "
            "frames; train with model.spec.tubelet_size=1"
        )
    return array_layouts.patch_conv2d(spec.patch_size)


def read_spec(state: State, config: Mapping, names: Names, prefix: str, attention_type: str) -> TimeSformerSpec:
    """Read sizes from the arrays, and heads and the norms' epsilon from config.json if there is one.

    Raises:
      WeightsError: if the two contradict each other, or the number of heads is unknown.
    """
    width, channels, patch, _ = shape_of(state, f"{prefix}{names.patch_embed}.weight", 4)
    if channels != 3:
        raise WeightsError(f"{prefix}{names.patch_embed}.weight takes {channels} channels; clips have 3")
    tokens = shape_of(state, prefix + names.pos_embed, 3)[1] - 1
    num_frames = config.get("num_frames", NUM_FRAMES)
    if prefix + names.time_embed in state:
        num_frames = shape_of(state, prefix + names.time_embed, 3)[1]
    side, depth = square_side(tokens, prefix + names.pos_embed) * patch, depth_of(state, prefix + names.blocks)
    mlp_dim = shape_of(state, f"{prefix}{names.blocks}0.{names.fc1}.weight", 2)[0]
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "intermediate_size": mlp_dim}
    check_sizes(config, sizes | {"patch_size": patch, "image_size": side, "num_frames": num_frames})
    if config.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"config.json says hidden_act={config['hidden_act']!r}; a TimeSformer has gelu")
    if "num_attention_heads" not in config and width % HEAD_WIDTH:
        raise WeightsError(
            f"a width of {width} does not determine the number of heads: all published models have heads of width "
            f"{HEAD_WIDTH}; put a config.json with num_attention_heads beside the file"
        )
    return TimeSformerSpec(
        width,
        depth,
        config.get("num_attention_heads", width // HEAD_WIDTH),
        mlp_dim,
        attention_type,
        patch_size=patch,
        num_frames=num_frames,
        image_size=side,
        norm_eps=config.get("layer_norm_eps", 1e-6),
    )


def assumed(config: Mapping, spec: TimeSformerSpec, *, time: bool) -> tuple[str, ...]:
    """Return notes on values that the file does not determine.

    Args:
      time: whether the file has positions in time, which give the number of frames.
    """
    frames = () if time else frames_note(config, spec.num_frames)
    return (*depth_note(config, spec, TIMESFORMER_SPECS), *frames)


def _attention_type(keys: Collection[str], names: Names, prefix: str) -> str:
    if f"{prefix}{names.blocks}0.{names.temporal_fc}.weight" in keys:
        return "divided"
    return "joint" if prefix + names.time_embed in keys else "space_only"


def _model_prefix(keys: Collection[str]) -> str:
    return "model." if "model.cls_token" in keys else ""


def _is_official(keys: Collection[str], config: Mapping | None) -> bool:
    """Recognise the authors' files; only a prefix tells space-only attention from an image model with the same keys."""
    del config
    prefix = _model_prefix(keys)
    if any(key.startswith((f"{prefix}head.mlp", f"{prefix}head.last_layer")) for key in keys):
        return False  # SVT's
    stem = {f"{prefix}{key}" for key in ("cls_token", "pos_embed", "blocks.0.attn.qkv.weight")}
    return stem <= set(keys) and (bool(prefix) or "time_embed" in keys)


def _describe_official(state: State, config: Mapping | None) -> Description[TimeSformerSpec]:
    prefix = _model_prefix(state)
    spec = read_spec(state, config or {}, OFFICIAL, prefix, _attention_type(state, OFFICIAL, prefix))
    head = f"{prefix}{OFFICIAL.head}.weight"
    num_classes = shape_of(state, head, 2)[0] if head in state else 0
    notes = assumed(config or {}, spec, time=spec.attention_type != "space_only")
    return Description(
        "timesformer", spec, num_classes, rules(spec, num_classes, OFFICIAL, prefix), MEAN, STD, MERGE, notes=notes
    )


def _is_transformers(keys: Collection[str], config: Mapping | None) -> bool:
    """Recognise files of transformers; without a head, their keys are unique only for divided or joint attention."""
    if config and "model_type" in config:
        return config["model_type"] == "timesformer"
    return "timesformer.embeddings.cls_token" in keys or TRANSFORMERS.time_embed in keys


def _describe_transformers(state: State, config: Mapping | None) -> Description[TimeSformerSpec]:
    config = config or {}
    prefix = "timesformer." if "timesformer.embeddings.cls_token" in state else ""
    attention_type = _attention_type(state, TRANSFORMERS, prefix)
    said = config.get("attention_type", TRANSFORMERS_TYPES[attention_type])
    if said != TRANSFORMERS_TYPES[attention_type]:
        raise WeightsError(
            f"config.json says attention_type={said}, but the arrays belong to {TRANSFORMERS_TYPES[attention_type]}; "
            "the file is incomplete or the config.json belongs to another model: download both again"
        )
    spec = read_spec(state, config, TRANSFORMERS, prefix, attention_type)
    num_classes = shape_of(state, "classifier.weight", 2)[0] if "classifier.weight" in state else 0
    notes = assumed(config, spec, time=attention_type != "space_only")
    if attention_type == "space_only":
        notes = (PER_FRAME, *notes)
    biases = config.get("qkv_bias", True)
    if not biases:
        notes = (NO_BIASES, *notes)
    return Description(
        "timesformer", spec, num_classes, rules(spec, num_classes, TRANSFORMERS, prefix, biases=biases), MEAN, STD,
        MERGE, labels=labels_of(config, num_classes), notes=notes,
    )  # fmt: skip


def _transformers_config(description: Description[TimeSformerSpec]) -> dict:
    spec = description.spec
    height, width = spec.frame_size
    if height != width:
        raise WeightsError(f"transformers' TimeSformer takes square frames; this model takes {height} x {width}")
    if spec.attention_type == "space_only":
        raise WeightsError(PER_FRAME)
    return {
        "model_type": "timesformer",
        "architectures": ["TimesformerForVideoClassification" if description.num_classes else "TimesformerModel"],
        "attention_type": TRANSFORMERS_TYPES[spec.attention_type],
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.mlp_dim,
        "hidden_act": "gelu",
        "layer_norm_eps": spec.norm_eps,
        "qkv_bias": True,
        "patch_size": spec.patch_size,
        "num_frames": spec.num_frames,
        "image_size": height,
    }


def _transformers_rules(spec: TimeSformerSpec, num_classes: int | None) -> tuple[Rule, ...]:
    return rules(spec, num_classes or 0, TRANSFORMERS, "timesformer.")


LAYOUTS = (
    Layout("TimeSformer, official", _is_official, _describe_official),
    Layout(
        "TimeSformer, transformers", _is_transformers, _describe_transformers,
        _transformers_config, "timesformer", _transformers_rules,
    ),
)  # fmt: skip
