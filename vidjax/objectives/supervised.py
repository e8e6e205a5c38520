"""`Supervised`, the base of objectives whose module maps a clip to logits."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from vidjax.config import LoraConfig
from vidjax.models.outputs import outputs
from vidjax.models.pooling import PooledClassifier
from vidjax.objectives.base import Batch, Objective, Params, Rngs
from vidjax.objectives.normalize import fit_frames, normalize

# The parameters before the head of a `ClipClassifier` or a `PooledClassifier`, without the terms of LoRA. An
# attentive pooler counts as part of the head.
BACKBONE = r"^(?!(head|pooler|token_weighting|hidden_\d+|classes|lora)/)"


@dataclasses.dataclass(frozen=True)
class Supervised(Objective):
    """An objective whose module maps clips to logits; each subclass defines a loss on the logits.

    Attributes:
      module: a model with `spec` and `num_classes` that returns logits.
      mean, std: per channel, for pixels in [0, 1]; they normalise the module's input.
      freeze_backbone: whether to train only the head.
      lora: train only the head and low-rank terms of the backbone's projections; None for no LoRA.
    """

    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    freeze_backbone: bool = dataclasses.field(default=False, kw_only=True)
    lora: LoraConfig | None = dataclasses.field(default=None, kw_only=True)

    freezable = True

    @property
    def frozen(self) -> str:
        """Pattern of the parameters that are not trained; empty for none."""
        return BACKBONE if self.freeze_backbone or self.lora else ""

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass.

        A frozen backbone has no backward pass. With LoRA, gradients reach its activations but not its weights.
        """
        return (2.0 if self.freeze_backbone else 4.0 if self.lora else 6.0) * _macs(self.module)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters and no further state; the batch is not used."""
        del batch
        return self.module.init(rng, jnp.zeros((1, *self.module.spec.clip_shape)))["params"], {}

    def scores(self, params: Params, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b classes"]:
        """Return logits, without any randomness."""
        return outputs(self.module, params, self.normalized(clips))["logits"]

    def normalized(self, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """Normalise clips and fit their number of frames to the module."""
        return normalize(fit_frames(clips, self.module.spec), self.mean, self.std)

    def logits(
        self, params: Params, clips: Float[Array, "b t h w c"], rngs: Rngs, train: bool
    ) -> Float[Array, "b classes"]:
        """Return the logits of normalised clips; training uses the rng stream "dropout"."""
        apply_rngs = {"dropout": rngs["dropout"]} if train else None
        return outputs(self.module, params, clips, train=train, rngs=apply_rngs)["logits"]


def _macs(module: nn.Module) -> float:
    """Multiply-accumulates of a forward pass of one clip."""
    return module.macs if isinstance(module, PooledClassifier) else module.spec.classifier_macs(module.num_classes)
