"""Heads for any family's backbone: a learned average of all tokens, and hidden layers before the classes.

Source: "Video transformers for classification and captioning on Charades", which puts weights on all token states of a
clip and uses MLPs with dropout and without norms.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax.models.compiled_init import CompiledInit
from vidjax.models.layers import Head, Linear, normal_002

POOLINGS = ("", "weighted_tokens")


class PooledClassifier(CompiledInit):
    """A backbone with another pooling or a deeper head; the backbone's parameters keep their names.

    Attributes:
      backbone: a family's classifier without its head.
      num_classes: number of logits.
      pooling: "" keeps the backbone's pooling; weighted_tokens averages all its tokens, including the class token, with
        learned weights, a softmax over positions.
      head_widths: widths of hidden layers with ReLU. Dropout with the spec's head_dropout precedes every layer.
    """

    backbone: nn.Module
    num_classes: int
    pooling: str = ""
    head_widths: tuple[int, ...] = ()

    def setup(self):
        nn.share_scope(self, self.backbone)  # the encoder keeps its paths, so that other runs' parameters fit
        if self.pooling == "weighted_tokens":
            self.token_weighting = TokenWeighting()
        self.hidden = [Linear(width) for width in self.head_widths]
        self.dropout = nn.Dropout(self.spec.head_dropout)
        # Not named `head`: that is the name of the backbone's own head, which is absent here.
        self.classes = Head(self.num_classes, self.spec.head_dropout, normal_002)

    @property
    def spec(self):
        """The spec of the backbone."""
        return self.backbone.spec

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Return the backbone's outputs, with `pooled` (b d), the input of the head's first layer, and `logits`."""
        out = self.backbone(clips, train)
        pooled = out["pooled"]
        if self.pooling == "weighted_tokens":
            cls = [out["cls"][:, None]] if "cls" in out else []
            pooled = self.token_weighting(jnp.concatenate([*cls, out["tokens"]], axis=1))
        x = pooled
        for layer in self.hidden:
            x = nn.relu(layer(self.dropout(x, deterministic=not train)))
        return out | {"pooled": pooled} | self.classes(x, train)


class TokenWeighting(nn.Module):
    """The float32 average of tokens with a learned weight per position; the weights start equal."""

    @nn.compact
    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        weights = self.param("weights", nn.initializers.zeros, (tokens.shape[1],), jnp.float32)
        return jnp.einsum("n,bnd->bd", jax.nn.softmax(weights), tokens.astype(jnp.float32))
