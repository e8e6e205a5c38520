"""Several attentive probes of one frozen backbone, trained side by side, as V-JEPA 2's authors train theirs."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from vidjax.models.compiled_init import CompiledInit
from vidjax.models.layers import Head, normal_002
from vidjax.models.pooling import PooledClassifier, all_tokens, attentive_pooler, encode_segments, joined_spec
from vidjax.models.spec import ClipSpec

HEADS = "heads"  # the parameters of all probes, stacked on axis 0; all other parameters are the backbone's


class ProbeGrid(CompiledInit):
    """A backbone and `copies` attentive probes of its tokens; all probes start from the same random parameters.

    Attributes:
      backbone: a family's classifier without its head.
      num_classes: number of logits of each probe.
      pooling: a key of `pooling.ATTENTIVE`.
      pooling_heads: attention heads of each probe.
      segments: as in `PooledClassifier`.
    """

    backbone: nn.Module
    num_classes: int
    pooling: str
    pooling_heads: int
    copies: int
    segments: int = 1

    def setup(self):
        nn.share_scope(self, self.backbone)  # the encoder keeps its paths, so that other runs' parameters fit
        stacked = nn.vmap(
            _Probe, in_axes=None, out_axes=0, axis_size=self.copies, variable_axes={"params": 0},
            split_rngs={"params": False},
        )  # fmt: skip
        self.heads = stacked(self.spec, self.num_classes, self.pooling, self.pooling_heads)

    @property
    def spec(self) -> Any:
        """The spec of the backbone, for clips that hold all segments."""
        return joined_spec(self.backbone.spec, self.segments)

    @property
    def one(self) -> PooledClassifier:
        """The backbone with a single probe, whose parameters `pick` selects."""
        return PooledClassifier(self.backbone, self.num_classes, self.pooling, (), self.pooling_heads, self.segments)

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Return the backbone's outputs, computed as in evaluation and without gradients, and `logits` (g b classes) of
        the g probes.

        Args:
          train: has no effect; probes have no dropout.
        """
        del train
        out = jax.lax.stop_gradient(encode_segments(self.backbone, clips, self.segments, False))
        return out | {"logits": self.heads(all_tokens(out))}


class _Probe(nn.Module):
    """The pooling and the head of `PooledClassifier`, with the same names."""

    spec: ClipSpec
    num_classes: int
    pooling: str
    num_heads: int

    def setup(self):
        self.pooler = attentive_pooler(self.spec, self.pooling, self.num_heads)
        self.classes = Head(self.num_classes, 0.0, normal_002)

    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b classes"]:
        return self.classes(self.pooler(tokens), False)["logits"]


def pick(params: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the parameters of `ProbeGrid.one` with one of the probes."""
    heads = jax.tree.map(lambda leaf: leaf[number], params[HEADS])
    return {name: tree for name, tree in params.items() if name != HEADS} | heads
