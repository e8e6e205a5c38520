"""Heads for any family's backbone: poolings of all tokens, and hidden layers before the classes.

Sources: "Video transformers for classification and captioning on Charades", which weights all token states of a clip
and uses MLPs with dropout but no norms; V-JEPA 2 for the attentive poolings (see `attentive.py`).
"""

import dataclasses
from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from vidjax.models.attentive import AttentivePooler, pooler_macs
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.layers import Head, Linear, normal_002
from vidjax.models.spec import ClipSpec

ATTENTIVE = {"attentive": 0, "attentive4": 3}  # blocks of self-attention before a query attends to the tokens
POOLINGS = ("", "weighted_tokens", *ATTENTIVE)


class PooledClassifier(CompiledInit):
    """A backbone with another pooling or a deeper head; the backbone's parameters keep their names.

    Attributes:
      backbone: a family's classifier without its head.
      num_classes: number of logits.
      pooling: "" keeps the backbone's pooling. The others read `all_tokens`: weighted_tokens averages them with learned
        weights, a softmax over positions; attentive and attentive4 are an `AttentivePooler`.
      head_widths: widths of hidden layers with ReLU. Dropout with the spec's head_dropout precedes every layer.
      pooling_heads: attention heads of an attentive pooling.
      segments: number of shorter clips that make up a clip, for an attentive pooling. The backbone encodes each
        separately, and the pooling reads the tokens of all.
    """

    backbone: nn.Module
    num_classes: int
    pooling: str = ""
    head_widths: tuple[int, ...] = ()
    pooling_heads: int = 16
    segments: int = 1

    def setup(self):
        nn.share_scope(self, self.backbone)  # the encoder keeps its paths, so that other runs' parameters fit
        if self.pooling == "weighted_tokens":
            self.token_weighting = TokenWeighting()
        if self.pooling in ATTENTIVE:
            self.pooler = attentive_pooler(self.spec, self.pooling, self.pooling_heads)
        self.hidden = [Linear(width) for width in self.head_widths]
        self.dropout = nn.Dropout(self.spec.head_dropout)
        # Not named `head`: that is the name of the backbone's own head, which is absent here.
        self.classes = Head(self.num_classes, self.spec.head_dropout, normal_002)

    @property
    def spec(self):
        """The spec of the backbone, for clips that hold all segments."""
        return joined_spec(self.backbone.spec, self.segments)

    def clone(self, *, spec: ClipSpec | None = None, **options: Any) -> Self:
        """Copy the module as Flax does, with another `spec` if one is given."""
        changed = {} if spec is None else {"backbone": self.backbone.clone(spec=joined_spec(spec, 1 / self.segments))}
        return super().clone(**options, **changed)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one clip through the backbone, the pooling and the head."""
        width, head = self.spec.width, 0
        for wider in (*self.head_widths, self.num_classes):
            head, width = head + width * wider, wider
        if self.pooling in ATTENTIVE:
            head += pooler_macs(num_read(self.spec), self.spec.width, ATTENTIVE[self.pooling])
        return self.segments * self.backbone.spec.classifier_macs(0) + head

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Return the backbone's outputs, with `pooled` (b d), the input of the head's first layer, and `logits`."""
        out = encode_segments(self.backbone, clips, self.segments, train)
        pooled = out["pooled"]
        if self.pooling == "weighted_tokens":
            pooled = self.token_weighting(all_tokens(out))
        if self.pooling in ATTENTIVE:
            pooled = self.pooler(all_tokens(out))
        x = pooled
        for layer in self.hidden:
            x = nn.relu(layer(self.dropout(x, deterministic=not train)))
        return out | {"pooled": pooled} | self.classes(x, train)


def all_tokens(out: dict[str, Array]) -> Float[Array, "b n d"]:
    """Return every token of a clip: the class token, if there is one, and those of the cubes.

    For a V-JEPA 2 that reads several levels, they are the tokens of these levels, concatenated along the token axis.

    Args:
      out: the outputs of a classifier without a head.
    """
    if "level_tokens" in out:
        return out["level_tokens"]
    cls = [out["cls"][:, None].astype(out["tokens"].dtype)] if "cls" in out else []
    return jnp.concatenate([*cls, out["tokens"]], axis=1)


def encode_segments(backbone: nn.Module, clips: Float[Array, "b t h w c"], segments: int, train: bool) -> dict:
    """Split clips into segments of equal length, and encode each segment separately.

    Returns:
      with one segment, the backbone's outputs. Otherwise only `tokens` (b n d), the `all_tokens` of all segments, one
      segment after another, and `pooled` (b d), averaged over segments.
    """
    if segments == 1:
        return backbone(clips, train)
    out = backbone(rearrange(clips, "b (s t) h w c -> (b s) t h w c", s=segments), train)
    tokens = rearrange(all_tokens(out), "(b s) n d -> b (s n) d", s=segments)
    return {"tokens": tokens, "pooled": rearrange(out["pooled"], "(b s) d -> b s d", s=segments).mean(axis=1)}


def joined_spec(spec: ClipSpec, segments: float) -> ClipSpec:
    """Return the spec for clips of several segments; `segments` = 1 / n gives the spec for one of n segments."""
    return spec if segments == 1 else dataclasses.replace(spec, num_frames=round(spec.num_frames * segments))


def num_read(spec: ClipSpec) -> int:
    """Return how many tokens `all_tokens` returns, not counting a class token."""
    return spec.num_tokens * max(len(getattr(spec, "levels", ())), 1)


def attentive_pooler(spec: ClipSpec, pooling: str, num_heads: int) -> AttentivePooler:
    """Build an attentive pooler with the spec's dtype, attention, unrolling and rematerialisation.

    Args:
      pooling: a key of `ATTENTIVE`.
    """
    return AttentivePooler(
        num_heads, ATTENTIVE[pooling], attention=spec.attention, dtype=jnp.dtype(spec.dtype), unroll=spec.unroll,
        remat=spec.remat,
    )  # fmt: skip


class TokenWeighting(nn.Module):
    """The float32 average of tokens with a learned weight per position; the weights start equal."""

    @nn.compact
    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        weights = self.param("weights", nn.initializers.zeros, (tokens.shape[1],), jnp.float32)
        return jnp.einsum("n,bnd->bd", jax.nn.softmax(weights), tokens.astype(jnp.float32))
