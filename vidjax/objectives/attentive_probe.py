"""Attentive probes of a frozen backbone: many heads at once, each with its own learning rate and weight decay."""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vidjax.models.outputs import outputs
from vidjax.models.probe_grid import HEADS, ProbeGrid
from vidjax.objectives.base import Batch, HeadSettings, Metrics, Params, Part, Rngs, mean_over_valid
from vidjax.objectives.classification import Classification, in_top_k, smooth, soft_cross_entropy


@dataclasses.dataclass(frozen=True)
class AttentiveProbe(Classification):
    """Cross-entropy of each head; a head's gradients come from its own loss alone.

    Attributes:
      module: a `ProbeGrid`; a `PooledClassifier` once a head is chosen.
      heads: the settings of each head, in the order of the grid.
    """

    heads: tuple[HeadSettings, ...] = ()

    @property
    def frozen(self) -> str:
        """Pattern of all parameters except those of the heads."""
        return rf"^(?!{HEADS}/)"

    @property
    def parts(self) -> tuple[Part, ...]:
        """The backbone, whose positions are those of one segment."""
        return (Part("", self.module.backbone.spec),)

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of a forward pass of the backbone, and of the forward and backward pass of each head."""
        module = self.one.module
        backbone = module.segments * module.backbone.spec.classifier_macs(0)
        of_head = module.macs - backbone
        return 2.0 * backbone + 6.0 * len(self.heads) * of_head

    @property
    def one(self) -> Self:
        """The same objective with a single, chosen head, which scores clips like any classifier."""
        module = self.module
        return self.with_module(module.one) if isinstance(module, ProbeGrid) else self

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Compute the mean loss of the heads from `video` (uint8), `label` and `valid`; see `Classification.loss`.

        The gradient is that of the sum over heads, so that each head is trained as if it were alone. A head whose loss
        or gradient is not finite has a gradient of 0, so that it cannot stop the others. The mean leaves out losses
        that are not finite.

        The metrics are top1, of the best head in this batch; top1_mean and top1_lowest over heads; and diverged, the
        number of heads whose loss is not finite.
        """
        clips = self.normalized(batch["video"])
        targets = jax.nn.one_hot(batch["label"], self.module.num_classes)
        if train:
            clips, targets = self.augment(clips, smooth(targets, self.label_smoothing), rngs["augment"], batch)
        logits = self.all_logits({**params, HEADS: _contain(params[HEADS])}, clips)
        valid, label = batch["valid"], targets.argmax(axis=-1)
        losses = jax.vmap(lambda own: mean_over_valid(soft_cross_entropy(own, targets), valid))(logits)
        top1 = jax.vmap(lambda own: mean_over_valid(in_top_k(own, label, 1).astype(jnp.float32), valid))(logits)
        finite = jnp.isfinite(losses)
        total = jnp.where(finite, losses, 0.0).sum()
        mean = jax.lax.stop_gradient(total / jnp.maximum(finite.sum(), 1))
        metrics = {
            "top1": top1.max(), "top1_mean": top1.mean(), "top1_lowest": top1.min(),
            "diverged": (~finite).sum().astype(jnp.float32),
        }  # fmt: skip
        return mean + total - jax.lax.stop_gradient(total), (metrics, extra)

    def all_logits(self, params: Params, clips: Float[Array, "b t h w c"]) -> Float[Array, "g b classes"]:
        """Return the logits of every head for normalised clips."""
        return outputs(self.module, params, clips)["logits"]


@jax.custom_vjp
def _contain(heads: Params) -> Params:
    """Return the parameters; in the backward pass, a head's gradients are all 0 if any of them is not finite."""
    return heads


def _contain_back(_: None, grads: Params) -> tuple[Params]:
    whole = jnp.stack([_finite_rows(leaf) for leaf in jax.tree.leaves(grads)]).all(axis=0)
    return (jax.tree.map(lambda leaf: jnp.where(whole.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0.0), grads),)


def _finite_rows(leaf: Float[Array, " g *dims"]) -> Bool[Array, " g"]:
    return jnp.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)


_contain.defvjp(lambda heads: (heads, None), _contain_back)
