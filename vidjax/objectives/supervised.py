"""What objectives of one module that answers for a clip have in common."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from vidjax.models.outputs import outputs
from vidjax.objectives.base import Batch, Objective, Params, Rngs
from vidjax.objectives.normalize import fit_frames, normalize

# The parameters before the head of a `ClipClassifier` or a `PooledClassifier`.
BACKBONE = r"^(?!(head|token_weighting|hidden_\d+|classes)/)"


@dataclasses.dataclass(frozen=True)
class Supervised(Objective):
    """Clips in, logits out; what is lost in them is a subclass's own.

    Attributes:
      module: gives logits, from a model with `spec` and `num_classes`.
      mean, std: of the module's input, per channel, of pixels in [0, 1].
      freeze_backbone: train the head alone.
    """

    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    freeze_backbone: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def frozen(self) -> str:
        """Pattern of the parameters that are not trained; empty for none."""
        return BACKBONE if self.freeze_backbone else ""

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass; a frozen backbone has no backward pass."""
        macs = self.module.spec.classifier_macs(self.module.num_classes)
        return (2.0 if self.freeze_backbone else 6.0) * macs

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Random parameters; the batch is not looked at, and there is no further state."""
        del batch
        return self.module.init(rng, jnp.zeros((1, *self.module.spec.clip_shape)))["params"], {}

    def scores(self, params: Params, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b classes"]:
        """Logits, without any randomness."""
        return outputs(self.module, params, self.normalized(clips))["logits"]

    def normalized(self, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """As the module takes them, with as many frames."""
        return normalize(fit_frames(clips, self.module.spec), self.mean, self.std)

    def logits(
        self, params: Params, clips: Float[Array, "b t h w c"], rngs: Rngs, train: bool
    ) -> Float[Array, "b classes"]:
        """The logits of normalised clips; when training the stream "dropout" is used."""
        apply_rngs = {"dropout": rngs["dropout"]} if train else None
        return outputs(self.module, params, clips, train=train, rngs=apply_rngs)["logits"]
