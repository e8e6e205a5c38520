"""Masked autoencoding: regress the normalised pixels of hidden cubes (VideoMAE, section 3)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models.videomae import VideoMAEPretraining
from vidjax.objectives.base import Batch, Metrics, Params, Rngs, mean_over_valid
from vidjax.objectives.normalize import normalize_flat
from vidjax.ops.patches import CHANNELS, patch_statistics

MASKS = {"tube": ops.tube_mask, "random": ops.random_mask, "frame": ops.frame_mask}


@dataclasses.dataclass(frozen=True)
class MaskedAutoencoding:
    """Mean squared error over hidden cubes.

    Attributes:
      module: predicts cubes.
      mask: tube, random or frame.
      mask_ratio: hidden share, in (0, 1).
      normalize_target: regress pixels normalised per cube and channel instead of pixels in [0, 1].
      mean, std: of the module's input, per channel, of pixels in [0, 1].
    """

    module: VideoMAEPretraining
    mask: str
    mask_ratio: float
    normalize_target: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def num_masked(self) -> int:
        """Hidden cubes of a clip."""
        return ops.num_masked(self.module.spec.grid, self.mask_ratio, self.mask)

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass."""
        return 6.0 * self.module.spec.pretraining_macs(self.num_masked)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Random parameters; the batch is not looked at, and there is no further state."""
        del batch
        spec = self.module.spec
        masked = jnp.arange(self.num_masked)[None]
        visible = jnp.arange(self.num_masked, spec.num_tokens)[None]
        return self.module.init(rng, jnp.zeros((1, *spec.clip_shape)), visible, masked)["params"], {}

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Uses `video` (uint8) and `valid`, and the streams "mask" and, when training, "dropout"."""
        target, prediction, _ = self._predict(params, batch, rngs, train)
        error = jnp.mean(jnp.square(prediction - target), axis=(1, 2))
        return mean_over_valid(error, batch["valid"]), ({}, extra)

    def after_update(self, params: Params, extra: Any, step: Array) -> Any:
        """Nothing moves but the parameters."""
        del params, step
        return extra

    def reconstruct(self, params: Params, batch: Batch, rngs: Rngs) -> dict[str, Float[Array, "b t h w c"]]:
        """Clips in [0, 1] to look at.

        Returns:
          input; masked, hidden cubes grey; reconstructed, hidden cubes predicted and the others as they were. With a
          normalised target the true mean and deviation of each cube are used to undo it, so pictures flatter the model.
        """
        target, prediction, (visible, visible_idx, hidden, masked_idx) = self._predict(params, batch, rngs, train=False)
        del target
        if self.normalize_target:
            mean, scale = patch_statistics(hidden)
            prediction = rearrange(prediction, "b m (q c) -> b m q c", c=CHANNELS) * scale + mean
            prediction = rearrange(prediction, "b m q c -> b m (q c)")
        fillings = {"input": hidden, "masked": jnp.full_like(hidden, 0.5), "reconstructed": prediction.clip(0, 1)}
        spec = self.module.spec
        order = jnp.argsort(jnp.concatenate([visible_idx, masked_idx], axis=1), axis=1)
        pictures = {}
        for name, filling in fillings.items():
            patches = ops.gather_tokens(jnp.concatenate([visible, filling], axis=1), order)
            pictures[name] = ops.unpatchify(patches, spec.grid, spec.tubelet_size, spec.patch_size)
        return pictures

    def _predict(self, params: Params, batch: Batch, rngs: Rngs, train: bool):
        """Target, prediction, and what they were made of: visible and hidden pixels in [0, 1] with their indices."""
        spec, video = self.module.spec, batch["video"]
        patches = ops.patchify(video, spec.tubelet_size, spec.patch_size)  # still uint8: a quarter of the traffic
        visible_idx, masked_idx = MASKS[self.mask](rngs["mask"], len(video), spec.grid, self.mask_ratio)
        visible, hidden = ops.gather_tokens(patches, visible_idx), ops.gather_tokens(patches, masked_idx)
        prediction = self.module.apply(
            {"params": params},
            normalize_flat(visible, self.mean, self.std),
            visible_idx,
            masked_idx,
            train=train,
            rngs={"dropout": rngs["dropout"]} if train else None,
            method="from_patches",
        )["reconstruction"]
        visible, hidden = (x.astype(jnp.float32) / 255 for x in (visible, hidden))
        target = ops.normalize_patches(hidden) if self.normalize_target else hidden
        return jax.lax.stop_gradient(target), prediction, (visible, visible_idx, hidden, masked_idx)
