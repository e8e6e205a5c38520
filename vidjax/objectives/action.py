"""Actions made of a noun and a verb, such as EPIC-KITCHENS' "open door": two distributions from one head.

Source: scenic's `ViViTMultiHeadClassificationModel`, with the nouns first.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.objectives.base import Batch, Metrics, Params, Rngs, mean_over_valid
from vidjax.objectives.classification import Classification, in_top_k, smooth, soft_cross_entropy


@dataclasses.dataclass(frozen=True)
class ActionRecognition(Classification):
    """The mean of the cross-entropies of noun and verb.

    Attributes:
      nouns, verbs: number of classes of each; the module has an output for each noun, then one for each verb.
    """

    nouns: int = 0
    verbs: int = 0

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Compute the loss from `video` (uint8), `action` (b 2) and `valid`.

        Training also uses the rng streams "augment" and "dropout".

        The metrics noun_top1, verb_top1 and action_top1 are the shares of clips for which the target's heaviest noun,
        its heaviest verb, or both, are ranked first.
        """
        clips, labels = self.normalized(batch["video"]), (batch["action"][:, 0], batch["action"][:, 1])
        targets = [jax.nn.one_hot(label, size) for label, size in zip(labels, (self.nouns, self.verbs), strict=True)]
        if train:
            smoothed = jnp.concatenate([smooth(each, self.label_smoothing) for each in targets], axis=1)
            clips, mixed = self.augment(clips, smoothed, rngs["augment"], batch)
            targets = jnp.split(mixed, [self.nouns], axis=1)
        logits = jnp.split(self.logits(params, clips, rngs, train), [self.nouns], axis=1)
        losses = [soft_cross_entropy(*each) for each in zip(logits, targets, strict=True)]
        noun, verb = (in_top_k(each, of.argmax(axis=1), 1) for each, of in zip(logits, targets, strict=True))
        right = {"noun_top1": noun, "verb_top1": verb, "action_top1": noun & verb}
        metrics = {name: mean_over_valid(hits.astype(jnp.float32), batch["valid"]) for name, hits in right.items()}
        return mean_over_valid((losses[0] + losses[1]) / 2, batch["valid"]), (metrics, extra)
