"""Several labels a clip: binary cross-entropy on each class, positives weighted against their rarity (Charades)."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from vidjax.objectives.base import Batch, Metrics, Params, Rngs, mean_over_valid
from vidjax.objectives.normalize import fit_frames, normalize


@dataclasses.dataclass(frozen=True)
class MultiLabel:
    """Binary cross-entropy on any number of labels a clip.

    Attributes:
      module: gives logits, from a model with `spec` and `num_classes`.
      mean, std: of the module's input, per channel, of pixels in [0, 1].
      pos_weight: factor of the loss of labels that are there.
    """

    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pos_weight: float = 1.0

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass."""
        return 6.0 * self.module.spec.classifier_macs(self.module.num_classes)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Random parameters; the batch is not looked at, and there is no further state."""
        del batch
        return self.module.init(rng, jnp.zeros((1, *self.module.spec.clip_shape)))["params"], {}

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Uses `video` (uint8), `labels` (b classes) of 0 and 1, `valid`, and, when training, the stream "dropout"."""
        clips = normalize(fit_frames(batch["video"], self.module.spec), self.mean, self.std)
        apply_rngs = {"dropout": rngs["dropout"]} if train else None
        logits = self.module.apply({"params": params}, clips, train=train, rngs=apply_rngs)["logits"]
        losses = binary_cross_entropy(logits, batch["labels"], self.pos_weight).mean(axis=-1)
        return mean_over_valid(losses, batch["valid"]), ({}, extra)

    def after_update(self, params: Params, extra: Any, step: Array) -> Any:
        """Nothing moves but the parameters."""
        del params, step
        return extra

    def scores(self, params: Params, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b classes"]:
        """Logits, without any randomness."""
        clips = normalize(fit_frames(clips, self.module.spec), self.mean, self.std)
        return self.module.apply({"params": params}, clips)["logits"]


def binary_cross_entropy(
    logits: Float[Array, "b classes"], labels: Float[Array, "b classes"], pos_weight: float
) -> Float[Array, "b classes"]:
    """-(pos_weight y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))), each by itself."""
    return -(pos_weight * labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits))
