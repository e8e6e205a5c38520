"""Initialise a ViViT from an image ViT in the layout of `transformers` (arXiv:2103.15691, section 3.4)."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Float

from vidjax.errors import WeightsError
from vidjax.models.vivit import ViViTSpec
from vidjax.weights import array_layouts
from vidjax.weights.checkpoint_layouts import Description, Layout
from vidjax.weights.families.vivit import MEAN, MERGE, STD, attention_rules, block_rules
from vidjax.weights.inspection import depth_of, shape_of, square_side
from vidjax.weights.resize_positions import resample
from vidjax.weights.rules import Form, Rule, State

HEADS = r"^(classifier|(vit\.)?pooler)\."


def central_frame(kernel: Float[np.ndarray, "p d"], tubelet: int) -> Float[np.ndarray, "t*p d"]:
    """Return a kernel for cubes that applies the image model's kernel to frame t // 2 and ignores other frames."""
    cubes = np.zeros((tubelet, *kernel.shape), kernel.dtype)
    cubes[tubelet // 2] = kernel
    return rearrange(cubes, "t p d -> (t p) d")


def inflation(kernel: Float[np.ndarray, "p d"], tubelet: int) -> Float[np.ndarray, "t*p d"]:
    """Return a kernel for cubes that averages the image model's embeddings over frames."""
    return repeat(kernel / tubelet, "p d -> (t p) d", t=tubelet)


def tile(positions: Float[np.ndarray, "s d"], frames: int) -> Float[np.ndarray, "t*s d"]:
    """Repeat the positions of an image in each frame."""
    return repeat(positions, "s d -> (t s) d", t=frames)


def resize(positions: Float[np.ndarray, "s d"], grid: tuple[int, int]) -> Float[np.ndarray, "h*w d"]:
    """Resize the positions of a square image to another grid, bilinearly and with corners kept, like scenic's zoom."""
    side = square_side(len(positions), "the image model's table")
    table = rearrange(positions, "(h w) d -> h w d", h=side)
    return rearrange(resample(table, grid, ("linear, corners kept",) * 2), "h w d -> (h w) d")


LAYOUTS: tuple[Layout, ...] = ()  # empty, since `layout` needs the spec of the ViViT to initialise
TUBELET_INITS = {"central_frame": central_frame, "inflation": inflation}


def is_image_vit(keys: Collection[str], config: Mapping | None) -> bool:
    """Return whether a file holds an image ViT of `transformers`, with or without its head."""
    if (config or {}).get("model_type", "vit") != "vit":
        return False
    wanted = {"embeddings.cls_token", "encoder.layer.0.attention.attention.query.weight"}
    return {_prefix(keys) + key for key in wanted} <= set(keys)


def layout(spec: ViViTSpec) -> Layout:
    """Return the layout of image models that initialise a ViViT of this spec."""
    return Layout("image ViT, for a ViViT", is_image_vit, functools.partial(describe_image, spec=spec))


def describe_image(state: State, config: Mapping | None, spec: ViViTSpec) -> Description:
    """Describe how an image model's arrays initialise a headless ViViT of any factorization.

    Positions are resized to the grid and repeated in each frame. A factorised encoder uses the image model as its
    spatial encoder, whose single table of positions serves every frame. Factorised self-attention uses the image
    model's attention twice, over time and within frames. Other parameters are initialised anew.

    Raises:
      WeightsError: if the image model has another width, depth, MLP, patch size or number of heads.
    """
    prefix = _prefix(state)
    _check_sizes(state, config or {}, spec, prefix)
    shared = spec.factorization == "encoder"
    places = "serve every time step" if shared else f"are repeated in each of {spec.grid[0]} time steps"
    notes = [
        f"an image model: its patch kernel is extended by tubelet_init={spec.tubelet_init}, its positions {places}; "
        "the norms' epsilon and the GELU are ViViT's; the head is new"
    ]
    fresh = ""
    if shared:
        fresh, words = "^temporal/", "the temporal encoder starts fresh"
    elif spec.factorization == "self_attention":
        fresh, words = "/temporal_norm/", "attention over time starts as a copy of that within frames; its norm is new"
    if fresh:
        notes.append(words)
    ignore = HEADS if spec.class_token else rf"{HEADS}|embeddings\.cls_token$"
    return Description(
        "vivit", spec, 0, image_rules(spec, prefix), MEAN, STD, MERGE,
        ignore=ignore, fresh=fresh, notes=tuple(notes),
    )  # fmt: skip


def image_rules(spec: ViViTSpec, prefix: str = "") -> tuple[Rule, ...]:
    """Return the rules for an image ViT's keys, which begin with `prefix`.

    Source: scenic's `initialise_from_train_state`.
    """
    embeddings, block = f"{prefix}embeddings.", f"{prefix}encoder.layer.{{}}."
    patches = f"{embeddings}patch_embeddings.projection"
    found = [
        Rule((f"{patches}.weight",), ("encoder/patch_embed/kernel",), _patches(spec)),
        Rule((f"{patches}.bias",), ("encoder/patch_embed/bias",), array_layouts.SAME),
        Rule((f"{embeddings}position_embeddings",), ("encoder/pos_embed",), _positions(spec)),
        *block_rules(spec, block),
        *array_layouts.norm(f"{prefix}layernorm", "encoder/norm"),
    ]
    if spec.class_token:
        found.append(Rule((f"{embeddings}cls_token",), ("encoder/cls_token",), array_layouts.TOKEN))
    if spec.factorization == "self_attention":
        found += attention_rules(spec, block, "encoder/blocks/temporal_attn")
    return tuple(found)


def _patches(spec: ViViTSpec) -> Form:
    image, tubelet_init = array_layouts.patch_conv2d(spec.patch_size), TUBELET_INITS[spec.tubelet_init]
    return Form(lambda weight: (tubelet_init(*image.read(weight), spec.tubelet_size),), _no_way_back)


def _positions(spec: ViViTSpec) -> Form:
    """Convert the image model's table (1, 1 + s, d) to the positions of the ViViT's first encoder."""
    frames = 1 if spec.factorization == "encoder" else spec.grid[0]

    def read(table):
        cls, places = table[0, :1], tile(resize(table[0, 1:], spec.grid[1:]), frames)
        return (np.concatenate([cls, places]) if spec.class_token else places,)

    return Form(read, _no_way_back)


def _no_way_back(*leaves):
    raise WeightsError("a ViViT cannot be written as the image model that it was initialised from")


def _prefix(keys: Collection[str]) -> str:
    return "vit." if "vit.embeddings.cls_token" in keys else ""


def _check_sizes(state: State, config: Mapping, spec: ViViTSpec, prefix: str) -> None:
    width, _, patch, _ = shape_of(state, f"{prefix}embeddings.patch_embeddings.projection.weight", 4)
    first = f"{prefix}encoder.layer."
    sizes = {
        "width": (width, spec.width),
        "depth": (depth_of(state, first), spec.depth),
        "mlp_dim": (shape_of(state, f"{first}0.intermediate.dense.weight", 2)[0], spec.mlp_dim),
        "patch_size": (patch, spec.patch_size),
        "num_heads": (config.get("num_attention_heads", spec.num_heads), spec.num_heads),
    }
    wrong = [f"{name} {theirs} instead of {ours}" for name, (theirs, ours) in sizes.items() if theirs != ours]
    if wrong:
        raise WeightsError(f"the image model does not fit the ViViT: {', '.join(wrong)}")
