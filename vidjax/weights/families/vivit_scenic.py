"""ViViT checkpoints of scenic, the authors' code: flax msgpack files of all four models."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from vidjax.models.vivit import ViViTSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.families.vivit import MEAN, MERGE, STD, assumed, frames_and_side, square_patch
from vidjax.weights.inspection import check_sizes, depth_of, shape_of, square_side
from vidjax.weights.rules import Form, Rule, State

STACKED = Form(lambda *kernels: (np.stack(kernels, axis=1),), lambda kernel: tuple(np.moveaxis(kernel, 1, 0)))
NO_CLASS_TOKEN = (
    "with no class token and one attention per block, this is read as ViViT's model 4, factorised dot-product "
    "attention; scenic's model 1 with mean pooling has the same arrays"
)
TIME_FIRST = (
    "the file does not give the order of attention in a block: it is assumed to be over time, then within frames "
    "(attention_order='time_space', as in the paper); scenic's 'space_time' has the same arrays"
)
NOT_TOLD = {"dot_product": (NO_CLASS_TOKEN,), "self_attention": (TIME_FIRST,)}
# scenic's names of the modules in a block, and vidjax's.
MODULES = {
    "LayerNorm_0": "norm1",
    "MultiHeadDotProductAttention_0": "attn",
    "LayerNorm_1": "norm2",
    "MlpBlock_0": "mlp",
}
SELF_ATTENTION_MODULES = {
    "LayerNorm_time": "temporal_norm",
    "MultiHeadDotProductAttention_time": "temporal_attn",
    "LayerNorm_space": "norm1",
    "MultiHeadDotProductAttention_space": "attn",
    "LayerNorm_mlp": "norm2",
    "MlpBlock": "mlp",
}


def cubes(spec: ViViTSpec) -> Form:
    """Convert a flax Conv kernel (t, h, w, c, d) to a matrix (t h w c, d)."""
    cube = (spec.tubelet_size, spec.patch_size, spec.patch_size, 3)
    return Form(
        lambda kernel: (kernel.reshape(-1, kernel.shape[-1]),),
        lambda matrix: (matrix.reshape(*cube, matrix.shape[-1]),),
    )


def scenic_rules(spec: ViViTSpec, num_classes: int | None) -> tuple[Rule, ...]:
    """Return the rules for scenic's keys, which are paths with slashes and depend on the factorization."""
    factorized = spec.factorization == "encoder"
    transformer, cls = ("SpatialTransformer", "cls_SpatialTransformer") if factorized else ("Transformer", "cls")
    found = [
        Rule(("embedding/kernel",), ("encoder/patch_embed/kernel",), cubes(spec)),
        Rule(("embedding/bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        *_scenic_transformer(transformer, "encoder", spec.depth, spec.factorization),
    ]
    if spec.class_token:
        found.append(Rule((cls,), ("encoder/cls_token",), array_layouts.TOKEN))
    if factorized:
        found += _scenic_transformer("TemporalTransformer", "temporal", spec.temporal_depth, "joint")
        found.append(Rule(("cls_TemporalTransformer",), ("temporal/cls_token",), array_layouts.TOKEN))
    if num_classes:
        found += _scenic_leaves("output_projection", "head", ("kernel", "bias"))
    return tuple(found)


def _scenic_transformer(source: str, target: str, depth: int, factorization: str) -> list[Rule]:
    block, blocks = f"{source}/encoderblock_{{}}", f"{target}/blocks"
    modules = SELF_ATTENTION_MODULES if factorization == "self_attention" else MODULES
    found = [
        Rule((f"{source}/posembed_input/pos_embedding",), (f"{target}/pos_embed",), array_layouts.POSITIONS),
        *_scenic_leaves(f"{source}/encoder_norm", f"{target}/norm", ("scale", "bias")),
    ]
    for theirs, ours in modules.items():
        path, at = f"{block}/{theirs}", f"{blocks}/{ours}"
        if theirs.startswith("LayerNorm"):
            found += _scenic_leaves(path, at, ("scale", "bias"), depth)
        elif theirs.startswith("MlpBlock"):
            found += _scenic_leaves(f"{path}/Dense_0", f"{at}/fc1", ("kernel", "bias"), depth)
            found += _scenic_leaves(f"{path}/Dense_1", f"{at}/fc2", ("kernel", "bias"), depth)
        else:
            parts = [f"{path}/{part}" for part in ("query", "key", "value")]
            biases = tuple(f"{at}/qkv/{part}_bias" for part in "qkv")
            found.append(Rule(tuple(f"{part}/kernel" for part in parts), (f"{at}/qkv/kernel",), STACKED, depth))
            found.append(Rule(tuple(f"{part}/bias" for part in parts), biases, array_layouts.SAME, depth))
            found += _scenic_leaves(f"{path}/out", f"{at}/proj", ("kernel", "bias"), depth)
    return found


def _scenic_leaves(source: str, target: str, names: tuple[str, ...], depth: int = 0) -> list[Rule]:
    return [Rule((f"{source}/{name}",), (f"{target}/{name}",), array_layouts.SAME, depth) for name in names]


def _is_scenic(keys: Collection[str], config: Mapping | None) -> bool:
    del config
    return "embedding/kernel" in keys and any(
        f"{name}/posembed_input/pos_embedding" in keys for name in ("Transformer", "SpatialTransformer")
    )


def _describe_scenic(state: State, config: Mapping | None) -> Description[ViViTSpec]:
    """Read sizes from the arrays, because the authors' configurations disagree about the number of temporal blocks."""
    tubelet, *patch, _, width = shape_of(state, "embedding/kernel", 5)
    factorization, patch = _factorization(state), square_patch(*patch)
    factorized = factorization == "encoder"
    transformer = "SpatialTransformer" if factorized else "Transformer"
    attention, mlp = (
        ("MultiHeadDotProductAttention_space", "MlpBlock")
        if factorization == "self_attention"
        else ("MultiHeadDotProductAttention_0", "MlpBlock_0")
    )
    frames, side = _grid(state, transformer, tubelet, config or {})
    num_classes = shape_of(state, "output_projection/kernel", 2)[1] if "output_projection/kernel" in state else 0
    depth, mlp_dim = (
        _depth(state, transformer),
        shape_of(state, f"{transformer}/encoderblock_0/{mlp}/Dense_0/kernel", 2)[1],
    )
    check_sizes(config or {}, {"hidden_size": width, "num_hidden_layers": depth, "intermediate_size": mlp_dim})
    spec = ViViTSpec(
        width,
        depth,
        shape_of(state, f"{transformer}/encoderblock_0/{attention}/out/kernel", 3)[0],
        mlp_dim,
        factorization,
        temporal_depth=_depth(state, "TemporalTransformer") if factorized else ViViTSpec.temporal_depth,
        patch_size=patch,
        tubelet_size=tubelet,
        num_frames=frames * tubelet,
        image_size=side * patch,
    )
    notes = (*NOT_TOLD.get(factorization, ()), *assumed(config or {}, spec))
    return Description(
        "vivit", spec, num_classes, scenic_rules(spec, num_classes), MEAN, STD, MERGE, notes=notes
    )  # fmt: skip


def _factorization(keys: Collection[str]) -> str:
    if "SpatialTransformer/posembed_input/pos_embedding" in keys:
        return "encoder"
    if "Transformer/encoderblock_0/MultiHeadDotProductAttention_time/out/kernel" in keys:
        return "self_attention"
    return "joint" if "cls" in keys else "dot_product"


def _grid(state: State, transformer: str, tubelet: int, config: Mapping) -> tuple[int, int]:
    """Return the number of cubes along time and along a side of the square frames."""
    key = "posembed_input/pos_embedding"
    positions = shape_of(state, f"{transformer}/{key}", 3)[1]
    if transformer == "SpatialTransformer":
        frames = shape_of(state, f"TemporalTransformer/{key}", 3)[1] - 1
        return frames, square_side(positions - 1, f"{transformer}/{key}")
    return frames_and_side(positions - ("cls" in state), tubelet, config)


def _depth(keys: Collection[str], transformer: str) -> int:
    return depth_of([key.replace("/", ".") for key in keys], f"{transformer}.encoderblock_")


LAYOUTS = (Layout("ViViT, scenic", _is_scenic, _describe_scenic, family="vivit", rules=scenic_rules),)
