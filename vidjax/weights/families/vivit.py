"""ViViT's model 1 as `transformers` stores it, and functions that all sources of ViViT share."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from vidjax.errors import WeightsError
from vidjax.models.vivit import VIVIT_SPECS, ViViTSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.inspection import NO_BIASES, check_sizes, depth_note, depth_of, frames_note, labels_of, shape_of
from vidjax.weights.rules import Rule, State

MEAN = STD = (0.5,) * 3
MERGE = "sum_logits"
NUM_FRAMES = 32  # in all published models; a table of positions in space and time does not determine it
TANH_GELU = ("gelu_fast", "gelu_new", "gelu_pytorch_tanh")
PREFIX = "vivit."


def rules(spec: ViViTSpec, num_classes: int | None, prefix: str = PREFIX, *, biases: bool = True) -> tuple[Rule, ...]:
    """Return the rules for the keys of `transformers`, which begin with `prefix` except for the head.

    Args:
      biases: whether the file has biases of queries, keys and values.
    """
    patches = f"{prefix}embeddings.patch_embeddings.projection"
    found = [
        Rule(
            (f"{patches}.weight",),
            ("encoder/patch_embed/kernel",),
            array_layouts.patch_conv3d(spec.tubelet_size, spec.patch_size),
        ),
        Rule((f"{patches}.bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        Rule((f"{prefix}embeddings.cls_token",), ("encoder/cls_token",), array_layouts.TOKEN),
        Rule((f"{prefix}embeddings.position_embeddings",), ("encoder/pos_embed",), array_layouts.POSITIONS),
        *block_rules(spec, f"{prefix}encoder.layer.{{}}.", biases=biases),
        *array_layouts.norm(f"{prefix}layernorm", "encoder/norm"),
    ]
    return (*found, *(array_layouts.linear("classifier", "head") if num_classes else ()))


def block_rules(spec: ViViTSpec, block: str, *, biases: bool = True) -> list[Rule]:
    """Return the rules for the blocks whose keys begin with `block`, named as in the image ViT of `transformers`."""
    depth, blocks = spec.depth, "encoder/blocks"
    return [
        *array_layouts.norm(f"{block}layernorm_before", f"{blocks}/norm1", depth),
        *attention_rules(spec, block, f"{blocks}/attn", biases=biases),
        *array_layouts.norm(f"{block}layernorm_after", f"{blocks}/norm2", depth),
        *array_layouts.linear(f"{block}intermediate.dense", f"{blocks}/mlp/fc1", depth),
        *array_layouts.linear(f"{block}output.dense", f"{blocks}/mlp/fc2", depth),
    ]


def attention_rules(spec: ViViTSpec, block: str, target: str, *, biases: bool = True) -> list[Rule]:
    """Return the rules from the attention of each block to the module `target`."""
    heads, depth, out = spec.num_heads, spec.depth, f"{block}attention.output.dense"
    weights, theirs = (
        tuple(f"{block}attention.attention.{part}.{kind}" for part in ("query", "key", "value"))
        for kind in ("weight", "bias")
    )
    ours = tuple(f"{target}/qkv/{part}_bias" for part in "qkv")
    found = array_layouts.no_biases(ours, heads, spec.width, depth)
    if biases:
        found = [Rule(theirs, ours, array_layouts.by_head(heads), depth)]
    return [
        Rule(weights, (f"{target}/qkv/kernel",), array_layouts.qkv_split(heads), depth),
        *found,
        Rule((f"{out}.weight",), (f"{target}/proj/kernel",), array_layouts.heads_out(heads), depth),
        Rule((f"{out}.bias",), (f"{target}/proj/bias",), array_layouts.SAME, depth),
    ]


def frames_and_side(tokens: int, tubelet: int, config: Mapping) -> tuple[int, int]:
    """Return the number of cubes along time and along a side of square frames, for a table of `tokens` positions.

    Raises:
      WeightsError: if the positions do not form such a grid.
    """
    num_frames = config.get("num_frames", NUM_FRAMES)
    frames = num_frames // tubelet
    side = math.isqrt(tokens // frames) if frames else 0
    if frames * side**2 != tokens:
        raise WeightsError(
            f"{tokens} positions do not fit {num_frames} square frames in cubes of {tubelet} frames; "
            "put a config.json with the right num_frames beside the file"
        )
    return frames, side


def assumed(config: Mapping, spec: ViViTSpec) -> tuple[str, ...]:
    """Return notes on values that the file does not determine; only a factorised encoder gives the number of frames."""
    frames = () if spec.factorization == "encoder" else frames_note(config, spec.num_frames)
    return (*depth_note(config, spec, VIVIT_SPECS), *frames)


def square_patch(height: int, width: int) -> int:
    """Return the side of the cubes' square patches.

    Raises:
      WeightsError: if the patches are not square.
    """
    if height != width:
        raise WeightsError(f"the patches are {height} x {width} pixels; only square patches can be read")
    return height


def _recognises(keys: Collection[str], config: Mapping | None) -> bool:
    """Recognise a ViViT; without a head, only config.json tells it from an image ViT with the same keys."""
    if config and "model_type" in config:
        return config["model_type"] == "vivit"
    return f"{PREFIX}embeddings.cls_token" in keys


def _describe(state: State, config: Mapping | None) -> Description[ViViTSpec]:
    config = config or {}
    prefix = PREFIX if f"{PREFIX}embeddings.cls_token" in state else ""
    width, _, tubelet, *patch = shape_of(state, f"{prefix}embeddings.patch_embeddings.projection.weight", 5)
    if (act := config.get("hidden_act", TANH_GELU[0])) not in TANH_GELU:
        raise WeightsError(
            f"config.json says hidden_act={act!r}; ViViT has the tanh GELU, one of {', '.join(TANH_GELU)}"
        )
    if "num_attention_heads" not in config:
        raise WeightsError(
            "the arrays do not determine the number of heads; put the model's config.json beside the file"
        )
    patch, depth = square_patch(*patch), depth_of(state, f"{prefix}encoder.layer.")
    mlp_dim = shape_of(state, f"{prefix}encoder.layer.0.intermediate.dense.weight", 2)[0]
    sizes = {"hidden_size": width, "num_hidden_layers": depth, "intermediate_size": mlp_dim}
    check_sizes(config, sizes | {"tubelet_size": [tubelet, patch, patch]})
    num_frames, image_size = _clip(state, prefix, tubelet, patch, config)
    num_classes = shape_of(state, "classifier.weight", 2)[0] if "classifier.weight" in state else 0
    spec = ViViTSpec(
        width,
        depth,
        config["num_attention_heads"],
        mlp_dim,
        patch_size=patch,
        tubelet_size=tubelet,
        num_frames=num_frames,
        image_size=image_size,
        norm_eps=config.get("layer_norm_eps", 1e-6),
    )
    biases = config.get("qkv_bias", True)
    notes = assumed(config, spec) if biases else (NO_BIASES, *assumed(config, spec))
    return Description(
        "vivit", spec, num_classes, rules(spec, num_classes, prefix, biases=biases), MEAN, STD, MERGE,
        ignore=r"^pooler\.", labels=labels_of(config, num_classes), notes=notes,
    )  # fmt: skip


def _clip(state: State, prefix: str, tubelet: int, patch: int, config: Mapping) -> tuple[int, int | tuple[int, int]]:
    """Return the number and size of frames, from config.json if it has the size, checked against the positions."""
    key = f"{prefix}embeddings.position_embeddings"
    tokens = shape_of(state, key, 3)[1] - 1
    if "image_size" not in config:
        frames, side = frames_and_side(tokens, tubelet, config)
        return frames * tubelet, side * patch
    size, num_frames = config["image_size"], config.get("num_frames", NUM_FRAMES)
    height, width = (size, size) if isinstance(size, int) else size
    if (num_frames // tubelet) * (height // patch) * (width // patch) != tokens:
        raise WeightsError(
            f"config.json says {num_frames} frames of {height} x {width} pixels, but {key} holds {tokens} positions; "
            "the config.json belongs to another model: download both again"
        )
    return num_frames, height if height == width else (height, width)


def _config(description: Description[ViViTSpec]) -> dict:
    spec = description.spec
    if spec.factorization != "joint":
        raise WeightsError(
            f"transformers only has ViViT's model 1, with joint attention; factorization={spec.factorization!r} cannot "
            "be exported to it"
        )
    height, width = spec.frame_size
    return {
        "model_type": "vivit",
        "architectures": ["VivitForVideoClassification" if description.num_classes else "VivitModel"],
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.mlp_dim,
        "hidden_act": "gelu_fast",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": spec.norm_eps,
        "qkv_bias": True,
        "num_channels": 3,
        "num_frames": spec.num_frames,
        "image_size": height if height == width else [height, width],
        "tubelet_size": [spec.tubelet_size, spec.patch_size, spec.patch_size],
    }


LAYOUTS = (Layout("ViViT, transformers", _recognises, _describe, _config, "vivit", rules),)
