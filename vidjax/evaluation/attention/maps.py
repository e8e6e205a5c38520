"""Attention maps over the cubes of a clip, for every layer and head, and their roll-out through the model.

Roll-out follows Abnar & Zuidema 2020 (arXiv:2005.00928, section 3). Because of its residual branch, a layer counts as
the mean of the identity and its head-averaged attention matrix; the matrices of all layers are multiplied. In a
layer that attends over time and over space, each attention has its own residual branch, and so its own factor. For a
VideoMamba, the hidden attention of its scans is rolled out (see `hidden.py`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, UInt8

from vidjax import ops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import ConfigError
from vidjax.evaluation.attention import hidden
from vidjax.evaluation.attention.rows import over_all, over_space, over_time
from vidjax.models.captioner import Captioner
from vidjax.models.classifier import ClipClassifier
from vidjax.models.clip import CLIPVisionSpec
from vidjax.models.layers import QKV
from vidjax.models.mamba import Halves
from vidjax.models.pooling import PooledClassifier
from vidjax.models.presets import FAMILIES
from vidjax.models.spec import ClipSpec
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.models.video_text import VideoTextModel
from vidjax.models.videomae import VideoMAEPretraining, VideoMAESpec
from vidjax.models.videomamba import VideoMambaSpec
from vidjax.models.vivit import ViViTSpec
from vidjax.models.vjepa2 import VJEPA2Pretraining, VJEPA2Spec
from vidjax.objectives.normalize import fit_frames, normalize

_PRETRAINING = VideoMAEPretraining | VJEPA2Pretraining  # their encoders are shown
KINDS = ("attention", "space", "time", "class", "forward", "backward")
Found = tuple[dict[str, Array], Array]  # layers by kind, (l h t s); roll-out (t s)
Captured = dict[str, tuple[Array, ...]]  # outputs of modules by their paths, with layers on the first axis
Layers = tuple[Array, Array]  # queries and keys


class Model(Protocol):
    """A model of clips, such as a `vidjax.weights.Pretrained`."""

    @property
    def module(self) -> nn.Module: ...

    @property
    def params(self) -> Any: ...

    @property
    def family(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def clip_recipe(self) -> ClipRecipe | None: ...


@dataclasses.dataclass(frozen=True)
class AttentionMaps:
    """Where a model looks in one clip, on the grid of its cubes.

    Attributes:
      layers: by kind, (layers heads t h w): the attention that each cube receives from the class token (from the first
        token in a VideoMAE with pooling=first) or, in a model without one, from all tokens on average. Each model has
        some of the `KINDS`:

        attention: attention over all tokens (VideoMAE, V-JEPA 2, ViViT's model 1, TimeSformer's joint attention).
        space: attention within frames, averaged over the frames' class tokens, if there are any.
        time: attention over the frames at each position, averaged over the queries of all cubes, because TimeSformer's
          class token takes no part in attention over time, and models 3 and 4 of ViViT have no class token. ViViT's
          model 2 shows the attention of its temporal encoder's class token, the same at every position of a frame.
        class, forward, backward: for a VideoMamba, with one head, averaged over channels and possibly negative. `class`
          is the attention of the class token (the first token) through both scans; `forward` and `backward` are the
          average attention of all tokens through one scan.
      rollout: (t h w); negative values for a VideoMamba are set to 0.
    """

    layers: Mapping[str, Float[np.ndarray, "layers heads t h w"]]
    rollout: Float[np.ndarray, "t h w"]


def attention_maps(model: Model, clip: UInt8[np.ndarray, "t h w 3"]) -> AttentionMaps:
    """Compute the attention maps of a model for one clip; compiled once per model.

    Args:
      clip: a clip taken by the model's recipe, with its size and order of channels.

    Raises:
      ConfigError: if the model is not of a supported family, or the clip's size is not the model's.
    """
    module, pixels, params = _parts(model)
    layers, rollout = jax.device_get(_maps(module, pixels, params, np.asarray(clip)))
    t, h, w = module.spec.grid
    layers = {kind: maps.reshape(*maps.shape[:2], t, h, w) for kind, maps in _in_order(layers)}
    return AttentionMaps(layers, rollout.reshape(t, h, w))


def map_sizes(model: Model) -> dict[str, tuple[int, int]]:
    """Return the number of layers and heads of each kind of map; nothing is computed.

    Raises:
      ConfigError: if the model is not of a supported family.
    """
    module, pixels, params = _parts(model)
    clip = jax.ShapeDtypeStruct(module.spec.clip_shape, jnp.uint8)
    layers, _ = jax.eval_shape(functools.partial(_maps, module, pixels), params, clip)
    return {kind: maps.shape[:2] for kind, maps in _in_order(layers)}


def _in_order(layers: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the layers in the order of `KINDS`; compiled functions return them in alphabetical order."""
    return [(kind, layers[kind]) for kind in KINDS if kind in layers]


def _parts(model: Model) -> tuple[Any, tuple, Any]:
    """Return the module that encodes clips, the mean and standard deviation of its input, and its parameters."""
    module, params = model.module, model.params
    if isinstance(module, Captioner):
        module, params = module.backbone, params["backbone"]
    elif isinstance(module, VideoTextModel):
        module, params = FAMILIES.find(module.spec.family).classifier(module.spec.video, 0), params["video"]
    known = isinstance(module, ClipClassifier | PooledClassifier | _PRETRAINING)
    if model.clip_recipe is None or not known or type(module.spec) not in _READ:
        raise ConfigError(
            f"{model.source} holds a {model.family}, whose attention cannot be shown; give a VideoMAE, V-JEPA 2, "
            "TimeSformer, ViViT, CLIP or VideoMamba"
        )
    return module, (model.clip_recipe.mean, model.clip_recipe.std), params


@functools.partial(jax.jit, static_argnums=(0, 1))
def _maps(module: Any, pixels: tuple, params: Any, clip: Array) -> Found:
    spec = module.spec
    clips = normalize(fit_frames(clip[None], spec), *pixels)
    spec.check_clips(clips)

    def run(module, clips):
        if isinstance(module, _PRETRAINING):
            return module.encoder(ops.patchify(clips, spec.tubelet_size, spec.patch_size))
        return module(clips)

    # The outputs of these modules are captured; the model itself runs as usual, with its own kernels.
    _, state = module.apply(
        {"params": params}, clips, method=run, mutable=["intermediates"],
        capture_intermediates=lambda found, _: isinstance(found, QKV | Halves),
    )  # fmt: skip
    captured = flatten_dict(state["intermediates"], sep="/")
    captured = {name.removesuffix("/__call__"): _joined(calls) for name, calls in captured.items()}
    return _READ[type(spec)](spec, captured, params)


def _joined(calls: tuple[tuple[Array, ...], ...]) -> tuple[Array, ...]:
    """Join the outputs of a module that is called for a few heads at a time."""
    return calls[0] if len(calls) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-2), *calls)


def _videomae(spec: VideoMAESpec, captured: Captured, params: Any) -> Found:
    del params
    start = _first(spec.num_tokens) if spec.pooling == "first" else _mean(spec.num_tokens)
    return _joint(spec, captured["encoder/blocks/attn/qkv"], start)


def _vjepa2(spec: VJEPA2Spec, captured: Captured, params: Any) -> Found:
    del params
    q, k, v = captured["encoder/blocks/attn/qkv"]
    tables = ops.rotary_3d(spec.grid, q.shape[-1])
    return _joint(spec, (ops.rotate(q, *tables), ops.rotate(k, *tables), v), _mean(spec.num_tokens))


def _timesformer(spec: TimeSformerSpec, captured: Captured, params: Any) -> Found:
    del params
    space = captured["encoder/blocks/attn/qkv"]
    if spec.attention_type == "joint":
        return _joint(spec, space, _first(1 + spec.num_tokens))
    if spec.attention_type == "space_only":
        maps, rollout = _space(_layers(space), _of_frames(spec))
        return {"space": _patches(spec, maps)}, _patches(spec, rollout)
    time, space = (_layers(captured[f"encoder/blocks/{name}/qkv"], batch=True) for name in ("temporal_attn", "attn"))
    return _time_and_space(spec, time, space, _of_frames(spec))


def _vivit(spec: ViViTSpec, captured: Captured, params: Any) -> Found:
    del params
    qkv = captured["encoder/blocks/attn/qkv"]
    if spec.factorization == "joint":
        return _joint(spec, qkv, _first(1 + spec.num_tokens))
    if spec.factorization == "encoder":
        time = _layers(captured["temporal/blocks/attn/qkv"], batch=True)
        in_time = jax.lax.map(lambda layer: over_all(*layer, _first(1 + spec.grid[0])), time)
        rollout = _back(_half(over_all), time, _first(1 + spec.grid[0]))
        maps, _ = _space(_layers(qkv), _of_frames(spec))
        _, rollout = _space(_layers(qkv), _of_frames(spec, rollout[1:]))
        in_time = jnp.broadcast_to(in_time[:, :, 1:, None], (*in_time.shape[:2], *_shape(spec)))
        return {"space": _patches(spec, maps), "time": in_time}, _patches(spec, rollout)
    start = _mean(spec.num_tokens).reshape(_shape(spec))
    if spec.factorization == "self_attention":
        time = _layers(captured["encoder/blocks/temporal_attn/qkv"], batch=True)
        return _time_and_space(spec, time, _layers(qkv), start)
    q, k = (x.reshape(len(x), *_shape(spec), *x.shape[2:]) for x in _layers(qkv, batch=True))

    def half_the_heads_each(q, k, weights):
        (q, r), (k, m) = (jnp.split(x, 2, axis=2) for x in (q, k))
        return jnp.concatenate([over_time(q, k, weights), over_space(r, m, weights)])

    maps = jax.lax.map(lambda layer: half_the_heads_each(*layer, start), (q, k))
    in_time, in_space = jnp.split(maps, 2, axis=1)
    return {"space": in_space, "time": in_time}, _back(_half(half_the_heads_each), (q, k), start)


def _clip(spec: CLIPVisionSpec, captured: Captured, params: Any) -> Found:
    del params
    maps, rollout = _space(_layers(captured["encoder/blocks/attn/qkv"]), _of_frames(spec))
    return {"space": _patches(spec, maps)}, _patches(spec, rollout)


def _videomamba(spec: VideoMambaSpec, captured: Captured, params: Any) -> Found:
    x, _ = captured["encoder/blocks/mixer/in_proj"]
    layers, tokens = (x[:, 0], params["encoder"]["blocks"]["mixer"]), 1 + spec.num_tokens

    def of_layer(layer):
        scans = hidden.both(*layer)
        found = {name: scan.rows(_mean(tokens)) for name, scan in scans.items()}
        return {"class": hidden.merged_rows(scans, _first(tokens), spec.merge_directions)} | found

    maps = {kind: _cubes(spec, rows)[:, None] for kind, rows in jax.lax.map(of_layer, layers).items()}
    rollout = _back(
        lambda layer, weights: hidden.rolled_rows(hidden.both(*layer), weights, spec.merge_directions),
        layers, _first(tokens),
    )  # fmt: skip
    return maps, jnp.maximum(_cubes(spec, rollout), 0)


_READ: Mapping[type[ClipSpec], Callable[[Any, Captured, Any], Found]] = {
    VideoMAESpec: _videomae,
    VJEPA2Spec: _vjepa2,
    TimeSformerSpec: _timesformer,
    ViViTSpec: _vivit,
    CLIPVisionSpec: _clip,
    VideoMambaSpec: _videomamba,
}


def _joint(spec: ClipSpec, qkv: tuple[Array, ...], start: Array) -> Found:
    layers = _layers(qkv, batch=True)
    maps = jax.lax.map(lambda layer: over_all(*layer, start), layers)
    return {"attention": _cubes(spec, maps)}, _cubes(spec, _back(_half(over_all), layers, start))


def _space(layers: Layers, start: Array) -> tuple[Array, Array]:
    """Return maps (l h t s) and roll-out (t s); the axis s may begin with the class token of a frame."""
    maps = jax.lax.map(lambda layer: over_space(*layer, start), layers)
    return maps, _back(_half(over_space), layers, start)


def _time_and_space(spec: ClipSpec, time: Layers, space: Layers, start: Array) -> Found:
    """Return the maps of layers that attend over time, then within frames; each frame may begin with a class token."""
    is_class = jnp.arange(start.shape[1]) < start.shape[1] - _shape(spec)[1]
    patches = jnp.where(is_class, 0, 1 / spec.num_tokens)  # equal weights for all queries over time
    maps = {
        "space": jax.lax.map(lambda layer: over_space(*layer, start), space),
        "time": jax.lax.map(lambda layer: over_time(*layer, jnp.broadcast_to(patches, start.shape)), time),
    }

    def through(layer, weights):
        time, space = layer
        weights = _half(over_space)(space, weights)
        of_class = weights.mean(axis=0)  # the copies represent one token
        return jnp.where(is_class, of_class, _half(over_time)(time, weights))

    rollout = _back(through, (time, space), start)
    return {kind: _patches(spec, found) for kind, found in maps.items()}, _patches(spec, rollout)


def _back(step: Callable[[Any, Array], Array], layers: Any, start: Array) -> Array:
    """Turn weights of output tokens into weights of input tokens, from the last layer to the first."""
    return jax.lax.scan(lambda weights, layer: (step(layer, weights), None), start, layers, reverse=True)[0]


def _half(rows: Callable[..., Array]) -> Callable[[Any, Array], Array]:
    """Carry weights through attention with a residual branch, which keeps half of each weight in place."""
    return lambda layer, weights: (weights + rows(*layer, weights).mean(axis=0)) / 2


def _layers(qkv: tuple[Array, ...], batch: bool = False) -> Layers:
    """Return the queries and keys of the single clip; `batch` tells whether their second axis is a batch."""
    q, k, _ = qkv
    return (q[:, 0], k[:, 0]) if batch else (q, k)


def _first(tokens: int) -> Float[Array, " n"]:
    return jnp.zeros(tokens).at[0].set(1)


def _mean(tokens: int) -> Float[Array, " n"]:
    return jnp.full(tokens, 1 / tokens)


def _of_frames(spec: ClipSpec, weights: Float[Array, " t"] | None = None) -> Float[Array, "t n"]:
    """Return weights (t n) that are 0 except for the frames' class tokens; by default, these have equal weights."""
    t, s = _shape(spec)
    return jnp.zeros((t, 1 + s)).at[:, 0].set(1 / t if weights is None else weights)


def _shape(spec: ClipSpec) -> tuple[int, int]:
    """Return the number of cubes along time, and within a frame."""
    t, h, w = spec.grid
    return t, h * w


def _cubes(spec: ClipSpec, tokens: Float[Array, "*b n"]) -> Float[Array, "*b t s"]:
    """Drop the class token, if there is one, and unfold time and space."""
    return tokens[..., -spec.num_tokens :].reshape(*tokens.shape[:-1], *_shape(spec))


def _patches(spec: ClipSpec, frames: Float[Array, "*b t n"]) -> Float[Array, "*b t s"]:
    """Drop the class token of each frame, if there is one."""
    return frames[..., -_shape(spec)[1] :]
