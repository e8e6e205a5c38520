"""A run small enough to train in a test: a two-layer network on 4-pixel clips, with every part of the protocol."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vidjax import config as config_lib
from vidjax.errors import VideoError
from vidjax.objectives import Objective
from vidjax.objectives.base import Part, mean_over_valid
from vidjax.tasks import Task


class _Block(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return x + nn.Dense(x.shape[-1], name="fc1")(x), None


class _Trunk(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(16, name="patch_embed")(x)
        blocks = nn.scan(_Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        x, _ = blocks(name="blocks")(x, jnp.zeros(3))
        return nn.LayerNorm(name="norm")(x)


class _Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Dropout(0.1, deterministic=not train)(_Trunk(name="encoder")(x))
        return nn.Dense(1, name="head")(x)[:, 0]


@dataclasses.dataclass(frozen=True)
class ToyObjective(Objective):
    """Regress the label from the pixels; `extra` counts batches seen and updates made.

    Attributes:
      noise: whether to use dropout; without it the loss does not depend on the rngs.
      poison: the step, or steps, at which the loss is NaN.
    """

    noise: bool = True
    poison: tuple[int, ...] = ()
    module: nn.Module = dataclasses.field(default_factory=_Net)
    train_flops_per_clip: float = 1e6
    parts: tuple[Part, ...] = (Part("", None),)

    def init(self, rng, batch):
        params = self.module.init(rng, self._flat(batch["video"][:1]), train=False)["params"]
        return params, {"batches": jnp.zeros((), jnp.int32), "updates": jnp.zeros((), jnp.int32)}

    def loss(self, params, extra, batch, rngs, train):
        answer = self.module.apply(
            {"params": params},
            self._flat(batch["video"]),
            train=train and self.noise,
            rngs={"dropout": rngs["dropout"]},
        )
        error = jnp.square(answer - batch["label"])
        loss = mean_over_valid(error, batch["valid"])
        for step in self.poison:
            loss = jnp.where(batch["index"].min() // len(batch["index"]) == step, jnp.nan, loss)
        return loss, ({"error": jnp.abs(answer - batch["label"]).mean()}, extra | {"batches": extra["batches"] + 1})

    def after_update(self, params, extra, step):
        return extra | {"updates": extra["updates"] + 1}

    def _flat(self, video):
        return video.reshape(video.shape[0], -1).astype(jnp.float32) / 255


@dataclasses.dataclass(frozen=True)
class Spiky(ToyObjective):
    """A toy whose loss is a thousand times larger at the first batch of `spikes`, a million times at the second."""

    spikes: tuple[int, ...] = (9, 13)

    def loss(self, params, extra, batch, rngs, train):
        loss, rest = super().loss(params, extra, batch, rngs, train)
        at = batch["index"].min() // len(batch["index"])
        for number, spike in enumerate(self.spikes, start=1):
            loss = jnp.where(at == spike, 1000.0**number * loss, loss)
        return loss, rest


@dataclasses.dataclass(frozen=True)
class ToyRow:
    video: str
    label: int
    id: str


@dataclasses.dataclass(frozen=True)
class ToySource:
    """Names of videos that do not exist."""

    length: int = 64
    content_id: str = "toy"
    num_classes: int = 4
    labels: tuple[str, ...] | None = None
    reading: None = None

    def __len__(self):
        return self.length

    def __getitem__(self, row):
        return ToyRow(f"/videos/{row}.mp4", row % 4, f"video {row}")


class ToyBatches:
    """Batches as the loader promises: batch k depends only on the seed and k; each process gets its block of rows."""

    def __init__(self, source, data, *, seed, start_step=0, process=(0, 1), broken=()):
        self._source, self._data, self._seed, self._step = source, data, seed, start_step
        self._part, self._parts = process
        self._broken = broken  # rows that cannot be decoded
        self.closed = False

    def __iter__(self):
        return self

    def __next__(self):
        rng = np.random.default_rng((self._seed, self._step))
        rows, t, s = self._data.global_batch, self._data.num_frames, self._data.image_size
        brightness = rng.random((rows, 1, 1, 1, 1))
        video = (rng.integers(128, 256, (rows, t, s, s, 3)) * brightness).astype(np.uint8)
        index = np.arange(rows) + self._step * rows
        failed = np.full((rows, 8), -1, np.int32)
        failed[:, 0] = [row if (row := int(i) % len(self._source)) in self._broken else -1 for i in index]
        batch = {
            "video": video,
            "label": (brightness.ravel() * 8).astype(np.int32) - 4,
            "valid": np.ones(rows, bool),
            "index": index,
            "failed": failed,
            "failed_reason": np.where(failed >= 0, VideoError.REASONS.index("truncated"), -1).astype(np.int8),
        }
        self._step += 1
        size = rows // self._parts
        return {key: value[self._part * size : (self._part + 1) * size] for key, value in batch.items()}

    def close(self):
        self.closed = True


TASK = Task(build=lambda config, num_classes, total_steps, source: ToyObjective())


def toy_config(**changes) -> config_lib.Config:
    """The configuration of 8 steps over 16 rows; `changes` are dotted keys with double underscores for dots."""
    keys = {
        "data.num_frames": 2,
        "data.image_size": 2,
        "data.global_batch": 16,
        "optim.base_lr": 0.16,
        "optim.min_lr": 0.0,
        "optim.warmup_steps": 2,
        "train.steps": 8,
        "train.accumulate": 1,
        "train.log_every": 1,
        "train.checkpoint_every": 4,
        "mesh.fsdp_min_size": 1,
        "data.name": "synthetic",
        "task": "toy:TASK",
        "model.remat": "none",
        "model.unroll": 1,
    }
    keys |= {key.replace("__", "."): value for key, value in changes.items()}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys)
    return config_lib.from_dict(config.to_dict())


def first_of(tree):
    """Every leaf as a NumPy array."""
    return jax.tree.map(np.asarray, jax.device_get(tree))
