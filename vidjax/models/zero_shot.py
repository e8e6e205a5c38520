"""A zero-shot classifier, whose head holds the embeddings of texts that describe the classes."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.models.compiled_init import CompiledInit
from vidjax.models.spec import ClipSpec
from vidjax.models.video_text import VideoTextModel

CLASSES = "classes"  # the head's parameter


class ZeroShotClassifier(CompiledInit):
    """The video tower of a model of videos and texts; logits are the scaled similarities of clips and class texts.

    The video tower's parameters keep their names, and the text tower's are not needed. `classes` (k e) holds one
    text embedding of unit length per class.

    Attributes:
      model: the model whose text tower made the embeddings.
      num_classes: number of classes.
    """

    model: VideoTextModel
    num_classes: int

    def setup(self):
        nn.share_scope(self, self.model)
        shape = (self.num_classes, self.model.spec.projection)
        self.classes = self.param(CLASSES, nn.initializers.normal(1.0), shape, jnp.float32)

    @property
    def spec(self) -> ClipSpec:
        """The spec of the video tower."""
        return self.model.spec.video

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Return the video tower's outputs, its unit-length `embedding` (b e), and `logits` (b k)."""
        out = self.model.video_outputs(clips, train)
        # The scale is about 100, so the rounding errors of a fast matrix product would show in the probabilities.
        similar = jnp.einsum("be,ke->bk", out["embedding"], self.classes, precision=jax.lax.Precision.HIGHEST)
        return out | {"logits": jnp.exp(self.model.logit_scale) * similar + self.model.logit_bias}
