"""Building blocks of experiment files (`configs/*.py`): a locked `ConfigDict` of defaults, and smoke runs."""

from __future__ import annotations

import dataclasses
import typing

from vidjax.config.reading import flatten
from vidjax.config.schema import Config
from vidjax.errors import ConfigError
from vidjax.registry import is_outside


def defaults():
    """A `ConfigDict` with every key of `Config` at its default, locked except for specs and the mixture."""
    from ml_collections import ConfigDict

    config = ConfigDict(dataclasses.asdict(Config()))
    config.lock()
    for section in (config.model, config.teacher):
        section.spec.unlock()  # its keys depend on the model family
    config.data.mixture.unlock()  # its keys are names that the user chooses
    return config


def keys() -> tuple[str, ...]:
    """The dotted keys of `Config`, such as `data.root`, except for those of specs and the mixture."""
    return tuple(key for key, _ in flatten(dataclasses.asdict(Config())))


def parse_arg(arg: str | None, *, size: str, sizes: typing.Iterable[str]) -> tuple[str, bool]:
    """Read the part after the colon of `--config=FILE:ARG,ARG`.

    Returns:
      The size (the given default if none is named), and whether a smoke run was requested.

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
    """Shrink an experiment to a tiny model on the built-in videos, so that it runs in a few minutes on a CPU.

    Task, mask, sampling, crop and mixing stay as they are. Flips are turned off, because they turn a motion to the left
    into one to the right, which is another class.
    """
    motion(config)
    config.init_label_map = ""
    config.data.global_batch = 16
    config.data.flip = 0.0
    if config.data.rand_augment.startswith("scenic"):
        config.data.rand_augment = "scenic-m5-n1"  # with the published m20-n2, 30 steps learn nothing
    config.data.mix_group = min(config.data.mix_group, 2)  # 16 videos then divide over up to 8 devices
    config.optim.clip_group = min(config.optim.clip_group, 2)
    config.optim.base_lr = 0.05 if config.optim.name == "sgd" else 1e-3  # at these rates, 30 steps learn something
    config.optim.reference_batch = 16
    config.optim.warmup_steps = 5
    config.optim.frozen_epochs = min(config.optim.frozen_epochs, 0.02)  # 5 steps
    config.distill.prototypes = 256
    config.distill.hidden_dim = 128
    config.distill.bottleneck_dim = 32
    config.align.teacher = f"{config.align.teacher.split('_')[0]}_tiny"
    config.align.teacher_from = ""
    if config.teacher.name:
        config.teacher.name = f"{config.teacher.name.split('_')[0]}_tiny"
        config.teacher.weights = "random"
    config.caption.decoder = "tiny"
    config.caption.decoder_from = ""
    config.caption.num_tokens = 12
    config.contrastive.text = "clip_tiny"
    config.contrastive.text_from = config.contrastive.tokenizer = ""
    config.contrastive.vocab_size = 640  # learned from the captions of the built-in videos
    config.contrastive.num_tokens = 16
    config.contrastive.projection = 64
    config.train.steps = 30
    config.train.log_every = 10
    config.train.checkpoint_every = 10
    config.train.eval_every = 0
    return config


def smoke_that_learns(config):
    """Shrink an experiment as `smoke` does, but train long enough to judge its accuracy: 200 steps of 64 videos."""
    smoke(config)
    config.model.spec.init_std = 0.1  # the published 0.02 is meant for wider models and needs far more steps here
    config.model.drop_path = 0.0
    config.data.global_batch = 64
    config.optim.base_lr = 2e-3
    config.optim.reference_batch = 64
    config.optim.warmup_steps = 30
    config.optim.layer_decay = 1.0
    config.train.steps = 200
    config.train.log_every = 50
    config.train.checkpoint_every = 200
    return config


def motion(config) -> None:
    """Switch to the tiny model of the experiment's family and the built-in videos: 8 frames of 24 pixels.

    A user's own family keeps its size. VideoMAE gets cubes of 4 frames, which show the direction of a motion; with
    cubes of 2 frames, such a small model hardly learns the direction.
    """
    if not is_outside(config.model.name):
        config.model.name = f"{config.model.name.split('_')[0]}_tiny"
    if config.model.name == "videomae_tiny":
        config.model.spec.update(tubelet_size=4, patch_size=8, decoder_depth=1)
    config.model.dtype = "float32"  # bfloat16 is not faster on a CPU
    config.data.name = "motion"
    config.data.root = ""
    config.data.mixture = {}
    config.data.num_classes = 0
    config.data.action_classes = (10, 8)  # digits and motions
    config.data.num_frames = 8
    config.data.stride = 2
    config.data.fps = 0.0
    config.data.short_side = tuple(round(side * 24 / config.data.image_size) for side in config.data.short_side)
    config.data.image_size = 24
    config.data.cubes = ()
    config.data.local_size = 16
    config.data.interpolation = "area"
    config.data.mean = (0.25, 0.25, 0.25)
    config.data.std = (0.2, 0.2, 0.2)
    config.data.workers = 0  # decoding these videos takes less time than starting a worker
    config.eval.batch = 64
