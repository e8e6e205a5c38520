"""Distillation: a student learns to match a frozen teacher's outputs (Hinton et al. 2015, arXiv:1503.02531).

Student and teacher see the same crops, mixed and erased in the same way, as in "A good teacher is patient and
consistent" (Beyer et al. 2022, arXiv:2106.05237).
"""

import dataclasses
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models.alignment import AlignmentDecoder
from vidjax.models.layers import normal_002
from vidjax.models.outputs import outputs
from vidjax.models.param_paths import flatten, nest
from vidjax.models.projection import unit
from vidjax.objectives.base import FIXED, Batch, Metrics, Params, Part, Rngs, mean_over_valid
from vidjax.objectives.classification import Classification, in_top_k, smooth, soft_cross_entropy
from vidjax.objectives.feature_alignment import LOSSES

PROJECTION = "projection"  # the parameters that map the student's tokens to the teacher's width


@dataclasses.dataclass(frozen=True)
class Weights:
    """The weights of the terms of the loss: the teacher's probabilities, the labels, the teacher's tokens."""

    logits: float = 1.0
    labels: float = 0.0
    tokens: float = 0.0


@dataclasses.dataclass(frozen=True)
class Distillation(Classification):
    """Train a student on a teacher's class probabilities, on the labels, and on the teacher's tokens.

    Let t and s be the logits of teacher and student, T the temperature, and y the labels after smoothing and mixing.
    The loss of a row is

      weights.logits T^2 KL(softmax(t / T) || softmax(s / T)) + weights.labels CE(y, softmax(s))
        + weights.tokens mean over tokens i of loss_of(teacher's token i - projection of the student's token i)

    T^2 keeps the size of the gradients independent of T. The objective's own state holds the teacher's parameters. They
    never change, and checkpoints leave them out.

    Attributes:
      teacher: a classifier, or a backbone if `weights.logits` is 0; it always runs in evaluation mode.
      weights: weights of the terms of the loss.
      temperature: above 0.
      decoder: the projection of tokens, one of `vidjax.models.alignment.DECODERS`.
      loss_of: the distance between tokens, one of `vidjax.objectives.feature_alignment.LOSSES`.
      unit_length: whether tokens are scaled to length 1 first.
      random: whether the teacher keeps its initial weights instead of reading those of a checkpoint.
    """

    teacher: nn.Module = dataclasses.field(kw_only=True)
    weights: Weights = dataclasses.field(default=Weights(), kw_only=True)
    temperature: float = dataclasses.field(default=1.0, kw_only=True)
    decoder: str = dataclasses.field(default="linear", kw_only=True)
    loss_of: str = dataclasses.field(default="l2", kw_only=True)
    unit_length: bool = dataclasses.field(default=True, kw_only=True)
    random: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the student's forward and backward pass, and of the teacher's forward pass."""
        teacher = self.teacher.spec.classifier_macs(self.teacher.num_classes)
        return super().train_flops_per_clip + 2.0 * teacher

    @property
    def fixed_parts(self) -> tuple[Part, ...]:
        """The teacher, which a checkpoint must hold as a whole."""
        return () if self.random else (Part("teacher", self.teacher.spec, "teacher.weights", whole=True),)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters of student and teacher; the batch is not used."""
        params, extra = super().init(rng, batch)
        teacher_rng, projection_rng = (jax.random.fold_in(rng, number) for number in (1, 2))
        clips = jnp.zeros((1, *self.teacher.spec.clip_shape))
        teacher = self.teacher.init(teacher_rng, clips)["params"]
        if self.weights.tokens:
            width = jax.eval_shape(lambda: outputs(self.teacher, teacher, clips))["tokens"].shape[-1]
            tokens = jnp.zeros((1, 1, self.module.spec.width))
            params = {**params, PROJECTION: self.projection(width).init(projection_rng, tokens)["params"]}
        return params, {**extra, FIXED: {"teacher": compact(teacher, self.teacher.spec.dtype)}}

    def projection(self, width: int) -> AlignmentDecoder:
        """Return the module that maps the student's tokens to the teacher's width."""
        spec = self.module.spec
        return AlignmentDecoder(self.decoder, width, spec.norm_eps, jnp.dtype(spec.dtype), normal_002)

    def loss(
        self, params: Params, extra: dict, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, dict]]:
        """Compute the loss from `video` (uint8), `label` and `valid`.

        Training also uses the rng streams "augment" and "dropout".

        The metrics are top1 and top5 as in `Classification`, the terms of the loss whose weight is not 0, and, unless
        weights.logits is 0, agreement: the share of clips for which student and teacher rank the same class first.
        """
        clips = self.normalized(batch["video"])
        targets = jax.nn.one_hot(batch["label"], self.module.num_classes)
        if train:
            clips, targets = self.augment(clips, smooth(targets, self.label_smoothing), rngs["augment"], batch)
        seen = jax.lax.stop_gradient(outputs(self.teacher, extra[FIXED]["teacher"], self.for_teacher(clips)))
        own = {name: tree for name, tree in params.items() if name != PROJECTION}
        apply_rngs = {"dropout": rngs["dropout"]} if train else None
        found = outputs(self.module, own, clips, train=train, rngs=apply_rngs)
        logits, terms, ranked = found["logits"], {}, {}
        if self.weights.logits:
            terms["logits"] = divergence(seen["logits"], logits, self.temperature)
            ranked["agreement"] = in_top_k(logits, seen["logits"].argmax(axis=-1), 1)
        if self.weights.labels:
            terms["labels"] = soft_cross_entropy(logits, targets)
        if self.weights.tokens:
            terms["tokens"] = self.distance(params[PROJECTION], found["tokens"], seen["tokens"])
        label = targets.argmax(axis=-1)
        ranked |= {f"top{k}": in_top_k(logits, label, k) for k in (1, 5) if k == 1 or k < self.module.num_classes}
        metrics = {name: rows.astype(jnp.float32) for name, rows in ranked.items()}
        metrics |= {f"loss_{name}": rows for name, rows in terms.items()}
        loss = sum(getattr(self.weights, name) * rows for name, rows in terms.items())
        metrics = {name: mean_over_valid(rows, batch["valid"]) for name, rows in metrics.items()}
        return mean_over_valid(loss, batch["valid"]), (metrics, extra)

    def for_teacher(self, clips: Float[Array, "b t h w c"]) -> Float[Array, "b t y x c"]:
        """Resize the student's normalised clips to the teacher's frame size."""
        return ops.resize_cubic(clips, self.teacher.spec.frame_size)

    def distance(
        self, params: Params, tokens: Float[Array, "b n d"], theirs: Float[Array, "b n e"]
    ) -> Float[Array, " b"]:
        """Return the distance between the projected tokens of the student and those of the teacher, per row."""
        found = cast(Array, self.projection(theirs.shape[-1]).apply({"params": params}, tokens)).astype(jnp.float32)
        theirs = theirs.astype(jnp.float32)
        if self.unit_length:
            found, theirs = unit(found, axis=-1), unit(theirs, axis=-1)
        return LOSSES[self.loss_of](found - theirs).mean(axis=-1)


def divergence(
    teacher: Float[Array, "b classes"], student: Float[Array, "b classes"], temperature: float
) -> Float[Array, " b"]:
    """Return T^2 KL(softmax(teacher / T) || softmax(student / T)) of each row, from logits."""
    theirs, ours = (jax.nn.log_softmax(logits / temperature) for logits in (teacher, student))
    return temperature**2 * jnp.sum(jnp.exp(theirs) * (theirs - ours), axis=-1)


def compact(params: Params, dtype: str) -> Params:
    """Cast the kernels of a frozen model's blocks to its compute dtype; other parameters keep their dtype."""
    flat = flatten(params)
    small = {path for path in flat if path.endswith("/kernel") and "blocks" in path.split("/")}
    return nest({path: leaf.astype(dtype) if path in small else leaf for path, leaf in flat.items()})
