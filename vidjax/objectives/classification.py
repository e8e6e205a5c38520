"""Classification with soft targets: label smoothing, mixup, cutmix and random erasing, all on the device."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vidjax.errors import DataError
from vidjax.objectives.base import Batch, Metrics, Params, Rngs, group_keys, mean_over_valid, row_keys
from vidjax.objectives.mixing import NO_MIXING, Mixing, mix, mix_weights, random_erase
from vidjax.objectives.supervised import Supervised


@dataclasses.dataclass(frozen=True)
class Classification(Supervised):
    """Cross-entropy with one label per clip.

    Attributes:
      label_smoothing: share of the target spread over all classes. This and the fields below apply only in training.
      erase: probability of random erasing.
      mixing: mixup and cutmix.
      class_weights: factor on the loss for each class; () for none.
    """

    label_smoothing: float = 0.0
    erase: float = 0.0
    mixing: Mixing = NO_MIXING
    class_weights: tuple[float, ...] = ()

    @property
    def group(self) -> int:
        """Number of rows that are mixed with each other; 0 for all rows, or without mixing."""
        return self.mixing.group if self.mixing else 0

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Compute the loss from `video` (uint8), `label` and `valid`.

        Training also uses the rng streams "augment" and "dropout".

        The metrics top1 and top5 are the shares of clips whose heaviest target is ranked first, or among the first
        five. With five classes or fewer there is only top1.
        """
        clips = self.normalized(batch["video"])
        targets = jax.nn.one_hot(batch["label"], self.module.num_classes)
        if train:
            clips, targets = self.augment(clips, smooth(targets, self.label_smoothing), rngs["augment"], batch)
        logits = self.logits(params, clips, rngs, train)
        label = targets.argmax(axis=-1)
        metrics = {
            f"top{k}": mean_over_valid(in_top_k(logits, label, k).astype(jnp.float32), batch["valid"])
            for k in (1, 5)
            if k == 1 or k < self.module.num_classes
        }
        if train and self.class_weights:
            targets = targets * jnp.asarray(self.class_weights, jnp.float32)
        return mean_over_valid(soft_cross_entropy(logits, targets), batch["valid"]), (metrics, extra)

    def augment(self, clips: Array, targets: Array, rng: Array, batch: Batch) -> tuple[Array, Array]:
        """Erase and mix clips; erased boxes are drawn per row, and mixing weights per group."""
        erase_rng, mix_rng = jax.random.split(rng)
        if self.erase > 0:
            clips = random_erase(row_keys(erase_rng, batch), clips, self.erase)
        if self.mixing:
            height, width = clips.shape[2:4]
            keys = group_keys(mix_rng, batch, self.mixing.group)
            weights = jax.vmap(lambda key: mix_weights(key, height, width, self.mixing))(keys)
            clips, targets = mix(clips, targets, weights)
        return clips, targets


def smooth(targets: Float[Array, "b classes"], amount: float) -> Float[Array, "b classes"]:
    """Move a share of each target to a uniform distribution over all classes (Szegedy et al. 2015, section 7)."""
    return targets * (1 - amount) + amount / targets.shape[-1]


def balanced_weights(counts: Sequence[int], names: Sequence[str] | None = None) -> tuple[float, ...]:
    """Return class weights that give all classes the same total weight, and videos a mean weight of 1.

    The weight of a class is all videos / (number of classes * videos of the class).

    Raises:
      DataError: for a class without videos; the message names it.
    """
    empty = [number for number, count in enumerate(counts) if not count]
    if empty:
        named = repr(names[empty[0]]) if names and empty[0] < len(names) else str(empty[0])
        raise DataError(
            f"optim.class_weights=balanced: class {named} has no training video ({len(empty)} of {len(counts)} classes "
            "have none); leave such classes out, add videos, or set optim.class_weights=none"
        )
    return tuple(sum(counts) / (len(counts) * count) for count in counts)


def soft_cross_entropy(logits: Float[Array, "b classes"], targets: Float[Array, "b classes"]) -> Float[Array, " b"]:
    """Return the cross-entropy of each row against a distribution."""
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)


def in_top_k(logits: Float[Array, "b classes"], label: Int[Array, " b"], k: int) -> Bool[Array, " b"]:
    """Return whether the label is among the k highest scores; ties go to the lower class number."""
    own = jnp.take_along_axis(logits, label[:, None], axis=1)
    ahead = (logits > own) | ((logits == own) & (jnp.arange(logits.shape[1]) < label[:, None]))
    return ahead.sum(axis=1) < k
