"""The configuration of a run: frozen, typed dataclasses, and the one border where a ConfigDict becomes them.

Experiments (`configs/*.py`) start from `defaults()`, a locked `ConfigDict` that holds every key, so that
`--config.data.root=DIR` works for each of them and a misspelt key is refused with the nearest name.
No value is None: an empty string or a zero means "not set" and says so in its comment.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import typing
from typing import Any

from vidjax.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which module, and the options of it that are not its size."""

    name: str = "videomae_base"
    mask: str = "tube"  # tube | random | frame (pre-training only)
    mask_ratio: float = 0.9
    patch_size: int = 0  # 0: the preset's, as for the next two
    tubelet_size: int = 0
    decoder_depth: int = 0
    normalize_target: bool = True  # per cube and channel, the paper's normalised pixels
    drop_path: float = 0.0
    head_dropout: float = 0.0
    dtype: str = "bfloat16"  # of the computation; parameters are float32
    remat: str = "none"  # none | dots (keep matmul outputs) | full (keep block inputs)
    unroll: int = 1  # layers a scan iteration; the depth unrolls all
    attention: str = ""  # an implementation of vidjax.ops.attention; empty: chosen by platform


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the videos are, and what happens to them before the module sees them."""

    name: str = "folder"  # folder | kinetics400 | ssv2 | ucf101 | motion | synthetic
    root: str = ""  # class folders, train/val/test.csv, or prepared records; empty only for motion and synthetic
    train_split: str = "train"
    eval_split: str = "val"
    num_classes: int = 0  # 0: as the data set says
    num_frames: int = 16
    stride: int = 4  # between frames, for the dense samplings
    sampling: str = "dense"  # dense | dense_span | segment
    image_size: int = 224
    clips_per_decode: int = 1  # differently augmented clips of the same frames of one decoded video
    global_batch: int = 32  # videos a step over all devices; rows are global_batch * clips_per_decode
    crop: str = "random_resized"  # multi_scale | random_resized | center
    crop_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)  # of multi_scale
    crop_area: tuple[float, ...] = (0.08, 1.0)  # of random_resized
    crop_aspect: tuple[float, ...] = (0.75, 4 / 3)  # of random_resized, width / height
    interpolation: str = "bilinear"  # bilinear | bicubic | area
    flip: float = 0.0  # probability
    rand_augment: str = ""  # for example rand-m7-n4-mstd0.5-inc1
    erase: float = 0.0  # probability of random erasing, one region for all frames
    mixup: float = 0.0  # alpha of the Beta distribution
    cutmix: float = 0.0  # alpha of the Beta distribution
    mix_prob: float = 1.0  # probability that a batch is mixed, if mixup or cutmix is above 0
    mix_switch_prob: float = 0.5  # probability of cutmix rather than mixup, if both are above 0
    mean: tuple[float, ...] = IMAGENET_MEAN  # of pixels in [0, 1]
    std: tuple[float, ...] = IMAGENET_STD
    workers: int = 0  # loader processes; 0 decodes in threads of this one
    threads: int = 2  # loader threads a process
    prefetch: int = 2  # batches ready ahead, a process


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """The optimiser; lr = base_lr * data.global_batch / reference_batch, and min_lr likewise."""

    name: str = "adamw"  # adamw | sgd
    base_lr: float = 1.5e-4
    min_lr: float = 1e-5
    reference_batch: int = 256
    warmup_epochs: float = 0.0  # linear from 0
    warmup_steps: int = 0  # overrides warmup_epochs when above 0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum: float = 0.9  # of sgd
    nesterov: bool = False  # of sgd
    weight_decay: float = 0.05  # not on biases, norms and tokens (1-D parameters)
    clip_norm: float = 0.0  # of the global gradient norm; 0: off
    layer_decay: float = 1.0  # learning-rate factor a layer, from the head down
    label_smoothing: float = 0.0
    ema: float = 0.0  # decay of the moving average of parameters; 0: off


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The loop: how long, and what is written when."""

    epochs: float = 1.0
    steps: int = 0  # overrides epochs when above 0
    accumulate: int = 1  # micro-batches a step
    log_every: int = 10  # steps
    eval_every: int = 0  # steps between validations on one view, which rank checkpoints; 0: none
    checkpoint_every: int = 1000  # steps
    keep_latest: int = 2
    max_nonfinite: int = 10  # in a row; then the run stops
    profile_start: int = 0  # first profiled step; 0: no profile
    profile_steps: int = 5
    wandb: str = ""  # project name; empty: off
    compile_cache: str = ""  # folder of XLA's persistent cache; empty: JAX's own setting


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; one of them -1, which takes what is left."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    fsdp_min_size: int = 2**16  # elements; smaller parameters are replicated


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """The multi-view protocol."""

    clips: int = 5  # evenly spaced in time
    crops: int = 3  # along the long side
    merge: str = "mean_softmax"  # mean_softmax | sum_logits | max
    batch: int = 0  # videos a step over all devices; 0: the number of devices
    allow_missing: bool = False  # exit with code 0 though some videos could not be scored


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    mode: str = "train"  # train | evaluate
    task: str = "masked_autoencoding"  # masked_autoencoding | classification
    seed: int = 0
    init_from: str = ""  # a vidjax run or anything from_pretrained takes; empty: random weights
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    mesh: MeshConfig = MeshConfig()
    eval: EvalConfig = EvalConfig()


CHOICES = {
    "mode": ("train", "evaluate"),
    "task": ("masked_autoencoding", "classification"),
    "model.mask": ("tube", "random", "frame"),
    "model.dtype": ("float32", "bfloat16"),
    "model.remat": ("none", "dots", "full"),
    "data.name": ("folder", "kinetics400", "ssv2", "ucf101", "motion", "synthetic"),
    "data.sampling": ("dense", "dense_span", "segment"),
    "data.crop": ("multi_scale", "random_resized", "center"),
    "data.interpolation": ("bilinear", "bicubic", "area"),
    "optim.name": ("adamw", "sgd"),
    "eval.merge": ("mean_softmax", "sum_logits", "max"),
}

_AT_LEAST_ONE = {
    "model": ("unroll",),
    "data": ("num_frames", "stride", "image_size", "clips_per_decode", "global_batch", "threads", "prefetch"),
    "optim": ("reference_batch",),
    "train": ("accumulate", "log_every", "checkpoint_every", "keep_latest", "max_nonfinite", "profile_steps"),
    "eval": ("clips", "crops"),
}
_FRACTIONS = {
    "model": ("mask_ratio", "drop_path", "head_dropout"),
    "data": ("flip", "erase", "mix_prob", "mix_switch_prob"),
    "optim": ("beta1", "beta2", "momentum", "layer_decay", "label_smoothing", "ema"),
}


def defaults():
    """A locked `ConfigDict` with every key of `Config` at its default."""
    from ml_collections import ConfigDict

    config = ConfigDict(dataclasses.asdict(Config()))
    config.lock()
    return config


def keys() -> tuple[str, ...]:
    """Every key of `Config` with dots, such as `data.root`."""
    return tuple(key for key, _ in _flatten(dataclasses.asdict(Config())))


def parse_arg(arg: str | None, *, size: str, sizes: typing.Iterable[str]) -> tuple[str, bool]:
    """Read the part after the colon of `--config=FILE:ARG,ARG`.

    Returns:
      the size (the given default if none is named) and whether a smoke run was asked for.

    Raises:
      ConfigError: for a word that is neither a size nor `smoke`.
    """
    sizes, smoke = tuple(sizes), False
    for word in filter(None, (arg or "").split(",")):
        if word == "smoke":
            smoke = True
        elif word in sizes:
            size = word
        else:
            raise ConfigError(f"config argument {word!r} is unknown; choose from {', '.join(sizes)}, smoke")
    return size, smoke


def smoke(config):
    """Shrink an experiment to a tiny model on the embedded videos: a few minutes on a CPU, every part exercised.

    Task, mask, sampling, crop and mixing stay as they are; what motion cannot bear (flips swap its labels) goes.
    """
    motion(config)
    config.data.global_batch = 16
    config.data.flip = 0.0
    config.optim.base_lr = 1e-3
    config.optim.reference_batch = 16
    config.optim.warmup_steps = 5
    config.train.steps = 30
    config.train.log_every = 10
    config.train.checkpoint_every = 10
    config.train.eval_every = 0
    return config


def motion(config) -> None:
    """The tiny model and the embedded videos: 2 x 3 x 3 cubes of 4 frames and 8 x 8 pixels.

    A cube of four frames holds enough of a motion to tell its direction; of two, a model this small hardly learns to.
    """
    config.model.name = "videomae_tiny"
    config.model.tubelet_size = 4
    config.model.patch_size = 8
    config.model.decoder_depth = 1
    config.model.dtype = "float32"  # a CPU has no faster bfloat16
    config.model.unroll = 4
    config.data.name = "motion"
    config.data.root = ""
    config.data.num_classes = 0
    config.data.num_frames = 8
    config.data.stride = 2
    config.data.image_size = 24
    config.data.interpolation = "area"
    config.data.mean = (0.25, 0.25, 0.25)
    config.data.std = (0.2, 0.2, 0.2)
    config.data.workers = 0
    config.eval.batch = 64


def from_dict(tree: typing.Mapping[str, Any]) -> Config:
    """Turn a (Config)Dict into a checked `Config`.

    Raises:
      ConfigError: for an unknown key (the nearest one is named), a value of the wrong type or out of range.
    """
    config = _build(Config, tree, prefix="")
    for key, allowed in CHOICES.items():
        value = _get(config, key)
        if value not in allowed:
            near = difflib.get_close_matches(value, allowed, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; choose one of {', '.join(allowed)}"
            raise ConfigError(f"config.{key}={value!r} is unknown{hint}")
    for key, value in _listed(config, _AT_LEAST_ONE):
        if value < 1:
            raise ConfigError(f"config.{key}={value} must be at least 1")
    for key, value in _listed(config, _FRACTIONS):
        if not 0 <= value <= 1:
            raise ConfigError(f"config.{key}={value} must lie between 0 and 1")
    return config


def fingerprint(tree: Any) -> str:
    """A short, stable hash of a dataclass or a tree of plain values."""
    if dataclasses.is_dataclass(tree):
        tree = dataclasses.asdict(tree)
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def _build(cls: type, tree: typing.Mapping[str, Any], prefix: str):
    hints, values = typing.get_type_hints(cls), {}
    for key in tree:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1, 0.0)
            raise ConfigError(f"config.{prefix}{key} is unknown; did you mean config.{prefix}{near[0]}?")
        kind, value = hints[key], tree[key]
        if dataclasses.is_dataclass(kind):
            values[key] = _build(kind, value, f"{prefix}{key}.")
        else:
            values[key] = _coerce(kind, value, f"{prefix}{key}")
    return cls(**values)


def _coerce(kind: Any, value: Any, key: str):
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
            return tuple(float(v) for v in value)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:
        return value
    name = "a tuple of numbers" if typing.get_origin(kind) is tuple else kind.__name__
    raise ConfigError(f"config.{key}={value!r} must be {name}")


def _get(config: Config, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def _listed(config: Config, table: dict[str, tuple[str, ...]]):
    for section, names in table.items():
        for name in names:
            yield f"{section}.{name}", getattr(getattr(config, section), name)


def _flatten(tree: typing.Mapping[str, Any], prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
