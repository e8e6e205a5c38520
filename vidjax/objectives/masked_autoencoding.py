"""Masked autoencoding: regress the normalised pixels of hidden cubes (VideoMAE, section 3).

With a decoder mask, this is the dual masking of VideoMAE V2 (arXiv:2303.16727, section 3.2).
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from vidjax import ops
from vidjax.models.outputs import outputs
from vidjax.objectives.base import Batch, Metrics, Objective, Params, Rngs, mean_over_valid, row_keys
from vidjax.objectives.cubes import uint8_cubes
from vidjax.objectives.normalize import normalize_flat
from vidjax.ops.masking import DECODER_MASKS, MASKS
from vidjax.ops.patches import patch_statistics


@dataclasses.dataclass(frozen=True)
class MaskedAutoencoding(Objective):
    """Mean squared error over hidden cubes.

    Attributes:
      module: the pre-training module, which predicts cubes.
      mask: tube, random or frame.
      mask_ratio: hidden share, in (0, 1).
      normalize_target: whether to regress pixels normalised per cube and channel, instead of pixels in [0, 1].
      mean, std: per channel, for pixels in [0, 1]; they normalise the module's input.
      decoder_mask: "" if the decoder predicts every hidden cube, or "running_cell" if it predicts the cubes that this
        mask keeps. The mask is independent of the encoder's, so it also keeps visible cubes. The decoder predicts these
        too, but the loss ignores them.
      decoder_mask_ratio: share of cubes that the decoder mask drops.
    """

    module: nn.Module
    mask: str
    mask_ratio: float
    normalize_target: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    decoder_mask: str = ""
    decoder_mask_ratio: float = 0.5

    @property
    def num_masked(self) -> int:
        """Number of cubes of a clip that are hidden from the encoder."""
        return ops.num_masked(self.module.spec.grid, self.mask_ratio, self.mask)

    @property
    def share_masked(self) -> float:
        """Hidden share of a clip's cubes, after rounding to the units that the mask hides."""
        return self.num_masked / self.module.spec.num_tokens

    @property
    def num_predicted(self) -> int:
        """Number of cubes of a clip that the decoder predicts in training."""
        if self.decoder_mask:
            return DECODER_MASKS[self.decoder_mask].num_kept(self.module.spec.grid, self.decoder_mask_ratio)
        return self.num_masked

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass."""
        num_visible = self.module.spec.num_tokens - self.num_masked
        return 6.0 * self.module.spec.pretraining_macs(num_visible, self.num_predicted)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters and no further state; the batch is not used."""
        del batch
        spec = self.module.spec
        masked = jnp.arange(self.num_masked)[None]
        visible = jnp.arange(self.num_masked, spec.num_tokens)[None]
        return self.module.init(rng, jnp.zeros((1, *spec.clip_shape)), visible, masked)["params"], {}

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Compute the loss from `video` (uint8 clips, or cubes), `valid` and the rng stream "mask".

        Training also uses the rng stream "dropout".
        """
        patches, (visible_idx, masked_idx) = uint8_cubes(batch, self.module.spec), self.draw_masks(rngs, batch)
        predicted_idx, counted = self.draw_predicted(rngs, batch, masked_idx)
        prediction = self._predict(
            params, ops.gather_tokens(patches, visible_idx), visible_idx, predicted_idx, rngs, train
        )
        target = _unit(ops.gather_tokens(patches, predicted_idx))
        if self.normalize_target:
            target = ops.normalize_patches(target)
        error = jnp.mean(jnp.square(prediction - jax.lax.stop_gradient(target)), axis=2)
        error = jnp.sum(error * counted, axis=1) / jnp.maximum(jnp.sum(counted, axis=1), 1)
        return mean_over_valid(error, batch["valid"]), ({}, extra)

    def draw_masks(self, rngs: Rngs, batch: Batch) -> tuple[Int[Array, "b k"], Int[Array, "b m"]]:
        """Draw the indices of the cubes of each row that the encoder sees, and of those that are hidden."""
        mask, grid = MASKS[self.mask], self.module.spec.grid

        def of_row(key):
            visible, masked = mask.draw(key, 1, grid, self.mask_ratio)
            return visible[0], masked[0]

        return jax.vmap(of_row)(row_keys(rngs["mask"], batch))

    def draw_predicted(
        self, rngs: Rngs, batch: Batch, masked_idx: Int[Array, "b m"]
    ) -> tuple[Int[Array, "b q"], Bool[Array, "b q"]]:
        """Draw the indices of the cubes that the decoder predicts; also return which of them count as hidden."""
        if not self.decoder_mask:
            return masked_idx, jnp.ones(masked_idx.shape, bool)
        mask, spec, rows = DECODER_MASKS[self.decoder_mask], self.module.spec, jnp.arange(len(masked_idx))
        keys = row_keys(jax.random.fold_in(rngs["mask"], 1), batch)
        kept = jax.vmap(lambda key: mask.draw(key, 1, spec.grid, self.decoder_mask_ratio)[0])(keys)
        hidden = jnp.zeros((len(rows), spec.num_tokens), bool).at[rows[:, None], masked_idx].set(True)
        return kept, jnp.take_along_axis(hidden, kept, axis=1)

    def reconstruct(self, params: Params, batch: Batch, rngs: Rngs) -> dict[str, Float[Array, "b t h w c"]]:
        """Predict every hidden cube and return clips in [0, 1] to look at.

        Returns:
          input; masked, with hidden cubes grey; reconstructed, with hidden cubes predicted and the others unchanged. If
          the target is normalised, each hidden cube's true mean and deviation are put back, so pictures look better
          than the prediction alone.
        """
        patches, (visible_idx, masked_idx) = uint8_cubes(batch, self.module.spec), self.draw_masks(rngs, batch)
        visible, hidden = ops.gather_tokens(patches, visible_idx), _unit(ops.gather_tokens(patches, masked_idx))
        prediction = self._predict(params, visible, visible_idx, masked_idx, rngs, train=False)
        if self.normalize_target:
            mean, scale = patch_statistics(hidden)
            prediction = prediction * scale + mean
        fillings = {"input": hidden, "masked": jnp.full_like(hidden, 0.5), "reconstructed": prediction.clip(0, 1)}
        spec = self.module.spec
        order = jnp.argsort(jnp.concatenate([visible_idx, masked_idx], axis=1), axis=1)
        pictures = {}
        for name, filling in fillings.items():
            patches = ops.gather_tokens(jnp.concatenate([_unit(visible), filling], axis=1), order)
            pictures[name] = ops.unpatchify(patches, spec.grid, spec.tubelet_size, spec.patch_size)
        return pictures

    def _predict(self, params: Params, visible, visible_idx, predicted_idx, rngs: Rngs, train: bool):
        """Predict the cubes at `predicted_idx` from visible ones in uint8."""
        return outputs(
            self.module,
            params,
            normalize_flat(visible, self.mean, self.std),
            visible_idx,
            predicted_idx,
            train=train,
            rngs={"dropout": rngs["dropout"]} if train else None,
            method="from_patches",
        )["reconstruction"]


def _unit(pixels: UInt8[Array, "*dims"]) -> Float[Array, "*dims"]:
    """Scale uint8 pixels to [0, 1]."""
    return pixels.astype(jnp.float32) / 255
