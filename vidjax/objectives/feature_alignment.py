"""Feature alignment: a student that sees some tokens predicts a frozen teacher's features of these tokens.

This is Unmasked Teacher (Li et al. 2023, arXiv:2303.16058) with the details of VideoMamba's masked pre-training
(arXiv:2403.06977, section 3.4; `video_sm/engines/engine_for_pretraining_videomamba.py`).
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax import ops
from vidjax.models.alignment import AlignmentStudent, AlignmentTeacher, with_class_token
from vidjax.models.outputs import outputs
from vidjax.models.projection import unit
from vidjax.objectives.base import FIXED, Batch, Metrics, Objective, Params, Part, Rngs, mean_over_valid, row_keys
from vidjax.objectives.normalize import normalize
from vidjax.ops.masking import MASKS

ATTENTION = "attention"  # the mask that prefers tokens to which the teacher attends


def _smooth_l1(difference: Float[Array, "*b e"]) -> Float[Array, "*b"]:
    size = jnp.abs(difference)
    return jnp.where(size < 1, 0.5 * jnp.square(size), size - 0.5).mean(axis=-1)


# The choices of align.loss, given the difference of two features; for unit vectors, l2 is 2 - 2 times their cosine.
LOSSES = {
    "l2": lambda difference: jnp.square(difference).sum(axis=-1),
    "mse": lambda difference: jnp.square(difference).mean(axis=-1),
    "smooth_l1": _smooth_l1,
}


@dataclasses.dataclass(frozen=True)
class FeatureAlignment(Objective):
    """The distance between the features of a student and of a frozen teacher, at the tokens that the student sees.

    Let s_k and t_k be the features of the k-th aligned block of student and teacher, and i run over the visible tokens
    and, with `align.class_token`, the class token. With `loss_of="l2"` and unit features, the loss of a row is

      mean over (k, i) of  |s_k(i) - t_k(i)|^2  =  2 - 2 <s_k(i), t_k(i)>

    The objective's own state holds the teacher's parameters. They never change, and checkpoints leave them out.

    Attributes:
      module: the student.
      teacher: the teacher, from which no tokens are hidden.
      mean, std: per channel, for pixels in [0, 1]; they normalise the input of both modules.
      mask: "attention", which keeps random tokens of each frame in proportion to the attention of the teacher's class
        token, or one of `MASKS`.
      mask_ratio: hidden share, in (0, 1).
      loss_of: one of `LOSSES`.
      unit_length: whether the features of student and teacher are scaled to length 1.
    """

    module: AlignmentStudent
    teacher: AlignmentTeacher
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mask: str = ATTENTION
    mask_ratio: float = 0.8
    loss_of: str = "l2"
    unit_length: bool = True

    @property
    def num_visible(self) -> int:
        """Number of cubes of a clip that the student sees."""
        t, h, w = grid = self.module.spec.grid
        if self.mask == ATTENTION:
            return t * (h * w - ops.num_masked((1, 1, h * w), self.mask_ratio))
        return t * h * w - ops.num_masked(grid, self.mask_ratio, self.mask)

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the student's forward and backward pass, and of the teacher's forward pass."""
        teacher = self.teacher.spec
        return 6.0 * self.module.spec.encoder_macs(self.num_visible) + 2.0 * teacher.encoder_macs(teacher.num_tokens)

    @property
    def unused_blocks(self) -> int:
        """Number of blocks after the last aligned one. They get no gradient and, as in PyTorch, no weight decay."""
        return self.module.spec.depth - 1 - max(self.module.encoder.taps)

    @property
    def fixed_parts(self) -> tuple[Part, ...]:
        """The teacher."""
        return (Part("teacher", self.teacher.spec, "align.teacher_from"),)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters of student and teacher; the batch is not used."""
        del batch
        spec, (student_rng, teacher_rng) = self.module.spec, jax.random.split(rng)
        patches, index = jnp.zeros((1, self.num_visible, spec.patch_dim)), jnp.arange(self.num_visible)[None]
        params = self.module.init(student_rng, patches, index)["params"]
        teacher = self.teacher.init(teacher_rng, jnp.zeros((1, *spec.clip_shape)))["params"]
        return params, {FIXED: {"teacher": teacher}}

    def loss(
        self, params: Params, extra: dict, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, dict]]:
        """Compute the loss from `video` (uint8), `valid` and the rng stream "mask"; training also uses "dropout"."""
        spec, clips = self.module.spec, normalize(batch["video"], self.mean, self.std)
        seen = jax.lax.stop_gradient(outputs(self.teacher, extra[FIXED]["teacher"], clips))
        index = self.draw_visible(rngs, batch, seen)
        places = with_class_token(index) if self.teacher.class_token else index
        targets = jnp.take_along_axis(seen["features"], places[None, :, :, None], axis=2)
        visible = ops.gather_tokens(ops.patchify(clips, spec.tubelet_size, spec.patch_size), index)
        apply_rngs = {"dropout": rngs["dropout"]} if train else None
        found = outputs(self.module, params, visible, index, train=train, rngs=apply_rngs)["features"]
        if self.unit_length:
            found, targets = unit(found, axis=-1), unit(targets, axis=-1)
        loss = LOSSES[self.loss_of](found - targets).mean(axis=(0, 2))
        return mean_over_valid(loss, batch["valid"]), ({}, extra)

    def draw_visible(self, rngs: Rngs, batch: Batch, seen: dict[str, Array]) -> Int[Array, "b v"]:
        """Draw the tokens of each row that the student sees, as ascending indices; `seen` is the teacher's output."""
        keys = row_keys(rngs["mask"], batch)
        if self.mask == ATTENTION:
            return jax.vmap(lambda key, of_row: ops.attention_mask(key, of_row, self.mask_ratio))(
                keys, seen["attention"]
            )
        mask, grid = MASKS[self.mask], self.module.spec.grid
        return jax.vmap(lambda key: mask.draw(key, 1, grid, self.mask_ratio)[0][0])(keys)
