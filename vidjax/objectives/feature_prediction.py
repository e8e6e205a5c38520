"""Feature prediction: from the cubes that it sees, a model predicts its teacher's features of hidden cubes.

The teacher, a moving average of the encoder, sees the whole clip. Source: V-JEPA 2 (Assran et al. 2025,
arXiv:2506.09985, section 2.1), with the details of its authors' `app/vjepa/train.py`.
"""

import dataclasses
import math
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from vidjax import ops
from vidjax.models.outputs import outputs
from vidjax.models.vjepa2 import VJEPA2Encoder, VJEPA2Pretraining
from vidjax.objectives.base import Batch, Metrics, Objective, Params, Part, Rngs, mean_over_valid, row_keys
from vidjax.objectives.cubes import uint8_cubes
from vidjax.objectives.normalize import normalize_flat
from vidjax.ops import Blocks
from vidjax.ops.masking import MASKS, Grid

NORM_EPS = 1e-5  # of the norm of the targets: the default of PyTorch's `layer_norm`
MASK_TOKEN = 0  # the number of the mask token that is trained


@dataclasses.dataclass(frozen=True)
class Hidden:
    """A mask like those of masked autoencoding.

    Attributes:
      kind: a key of `vidjax.ops.masking.MASKS`.
      ratio: hidden share of the units of that kind.
    """

    kind: str
    ratio: float

    def num_tokens(self, grid: Grid) -> tuple[int, int]:
        """Return how many cubes of a clip the encoder sees, and how many the predictor predicts."""
        hidden = ops.num_masked(grid, self.ratio, self.kind, "jepa.mask_ratio")
        return math.prod(grid) - hidden, hidden


@dataclasses.dataclass(frozen=True)
class FeaturePrediction(Objective):
    """The distance between a predictor's features of hidden cubes and a teacher's, under several masks.

    Let a mask show the cubes C to the encoder f and ask the predictor g for the cubes T, let t be the teacher, and let
    norm subtract the mean over channels and divide by their standard deviation. The loss of a row is

      mean over masks of  mean over T and channels of  |g(f(cubes in C))  -  norm(t(all cubes))|

    After the optimiser's step, teacher = m teacher + (1 - m) encoder, with a constant m.

    A collapse, in which the teacher computes the same features for all cubes, would bring the loss to zero. The metric
    target_std reveals a collapse: it is the standard deviation of the targets over the cubes and rows of a batch, at
    most about 1, and 0 after a collapse.

    The objective's own state holds the teacher's parameters.

    Attributes:
      module: encoder and predictor.
      mean, std: per channel, for pixels in [0, 1]; they normalise the module's input.
      masks: the masks of a step; each of them is drawn anew for every clip.
      teacher_momentum: m.
    """

    module: VJEPA2Pretraining
    mean: tuple[float, ...]
    std: tuple[float, ...]
    masks: tuple[Blocks | Hidden, ...] = (Blocks(8, 0.15), Blocks(2, 0.7))
    teacher_momentum: float = 0.99925

    @property
    def num_tokens(self) -> tuple[tuple[int, int], ...]:
        """Number of cubes of a clip that the encoder sees, and that the predictor predicts, for each mask."""
        grid = self.module.spec.grid
        return tuple(
            ops.num_block_tokens(grid, mask) if isinstance(mask, Blocks) else mask.num_tokens(grid)
            for mask in self.masks
        )

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass under each mask, and of the teacher's forward pass."""
        spec = self.module.spec
        macs = sum(spec.pretraining_macs(seen, predicted) for seen, predicted in self.num_tokens)
        return 6.0 * macs + 2.0 * spec.encoder_macs(spec.num_tokens)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Encoder and predictor; a run that continues another starts from the other's trained parameters."""
        return (Part("", self.module.spec, trained=True),)

    @property
    def extra_parts(self) -> tuple[Part, ...]:
        """The teacher; a run that continues another reads the other's teacher, or its encoder if it has no teacher."""
        return (Part("teacher", self.module.spec),)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters, and a teacher that starts as a copy of the encoder; the batch is not used."""
        del batch
        spec, (seen, predicted) = self.module.spec, self.num_tokens[0]
        index = jnp.arange(seen + predicted)[None]
        clips = jnp.zeros((1, *spec.clip_shape))
        params = self.module.init(rng, clips, index[:, :seen], index[:, seen:])["params"]
        return params, self.init_extra(params, {})

    def init_extra(self, params: Params, extra: dict) -> dict:
        """Return the state at the start of training, in which the teacher is a copy of the encoder."""
        return extra | {"teacher": {"encoder": jax.tree.map(jnp.copy, params["encoder"])}}

    def loss(
        self, params: Params, extra: dict, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, dict]]:
        """Compute the loss from `video` (uint8 clips, or cubes), `valid` and the rng stream "mask".

        Training also uses the rng stream "dropout".
        """
        cubes, valid = uint8_cubes(batch, self.module.spec), batch["valid"]
        features = self._teach(extra["teacher"]["encoder"], cubes)
        errors, deviations = [], []
        for number in range(len(self.masks)):
            seen_idx, target_idx = self.draw_masks(rngs, batch, number)
            seen = normalize_flat(ops.gather_tokens(cubes, seen_idx), self.mean, self.std)
            options = {"rngs": {"dropout": jax.random.fold_in(rngs["dropout"], number)}} if train else {}
            predicted = outputs(
                self.module, params, seen, seen_idx, target_idx, train, MASK_TOKEN, method="from_patches", **options
            )["predicted"]
            targets = layer_norm(ops.gather_tokens(features, target_idx))
            errors.append(mean_over_valid(jnp.abs(predicted - targets).mean(axis=(1, 2)), valid))
            deviations.append(_deviation(targets, valid))
        metrics = {"target_std": sum(deviations) / len(self.masks)}
        metrics |= {f"loss_mask_{number}": error for number, error in enumerate(errors)}
        return sum(errors) / len(errors), (metrics, extra)

    def draw_masks(self, rngs: Rngs, batch: Batch, number: int) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
        """Draw, for one mask, the indices of the cubes of each row that the encoder sees, and of those to predict."""
        grid, mask = self.module.spec.grid, self.masks[number]

        def of_row(key):
            if isinstance(mask, Blocks):
                seen, predicted = ops.block_mask(key, 1, grid, mask)
            else:
                seen, predicted = MASKS[mask.kind].draw(key, 1, grid, mask.ratio)
            return seen[0], predicted[0]

        return jax.vmap(of_row)(row_keys(jax.random.fold_in(rngs["mask"], number), batch))

    def after_update(self, params: Params, extra: dict, step: Array) -> dict:
        """Move the teacher towards the encoder."""
        del step
        keep = self.teacher_momentum
        moved = jax.tree.map(lambda t, s: keep * t + (1.0 - keep) * s, extra["teacher"]["encoder"], params["encoder"])
        return extra | {"teacher": {"encoder": moved}}

    def _teach(self, encoder: Params, cubes: UInt8[Array, "b n p"]) -> Float[Array, "b n d"]:
        """Compute the teacher's features of all cubes."""
        patches = normalize_flat(cubes, self.mean, self.std)
        found = VJEPA2Encoder(self.module.spec).apply({"params": encoder}, patches)
        return jax.lax.stop_gradient(cast(Array, found))  # Flax's type also allows for mutated variables


def layer_norm(features: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Subtract the mean over channels, and divide by their standard deviation, in float32."""
    features = features.astype(jnp.float32)
    centred = features - features.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + NORM_EPS)


def _deviation(targets: Float[Array, "b m d"], valid: Bool[Array, " b"]) -> Float[Array, ""]:
    """Return the standard deviation over cubes and valid rows: the root of the variance averaged over channels."""
    over_rows = jax.vmap(mean_over_valid, in_axes=(1, None))
    mean, square = (over_rows(values.mean(axis=1), valid) for values in (targets, jnp.square(targets)))
    return jnp.sqrt(jnp.maximum((square - jnp.square(mean)).mean(), 0.0))
