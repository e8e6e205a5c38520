"""VideoPrism: a ViT of each frame, then a transformer over time at each place (Zhao et al. 2024, arXiv:2402.13217).

Details follow the authors' code (google-deepmind/videoprism): attention logits are capped, all tokens are kept, and a
learned query pools them.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import layers
from vidjax.models.classifier import ClipClassifier
from vidjax.models.family import Family
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import ClipSpec, Positions, check_choice, check_heads
from vidjax.ops.attention.capped import CAPPED, capped_attention

lecun = nn.initializers.lecun_normal()
_RESIZED = "linear, antialiased"
_SOFTPLUS_0 = 1.442695041  # 1 / softplus(0)


@dataclasses.dataclass(frozen=True)
class VideoPrismSpec(ClipSpec):
    """The shape of a VideoPrism encoder; the fields of `ClipSpec` are keyword-only.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the blocks within frames.
      temporal_depth: number of blocks over time, of the same size.
      logit_cap: greatest absolute value of an attention logit.
      pooler_dim: channels of the attention that pools a classifier's tokens; 0 for `width`, as in the authors'
        classifiers. Those of `transformers` have `mlp_dim`.

    Raises:
      ConfigError: if the heads do not divide the width or `pooler_dim`, for an attention that cannot cap its logits,
        and as in `ClipSpec`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    temporal_depth: int = 4
    logit_cap: float = 50.0
    pooler_dim: int = 0
    _: dataclasses.KW_ONLY
    patch_size: int = 18
    tubelet_size: int = 1
    image_size: int | tuple[int, int] = 288

    def __post_init__(self):
        super().__post_init__()
        check_heads("", self.width, self.num_heads)
        if self.pooler_dim % self.num_heads:
            raise ConfigError(
                f"pooler_dim={self.pooler_dim} is not a multiple of num_heads={self.num_heads}; use "
                f"pooler_dim={self.width} or {self.mlp_dim}"
            )
        if self.attention is not None:
            check_choice("attention", self.attention, tuple(CAPPED))

    @property
    def learned_positions(self) -> Mapping[str, Positions]:
        """See `ClipSpec`; tables are resized as in the authors' `encoders.py`."""
        space, time = Positions("hw", (_RESIZED,) * 2), Positions("t", (_RESIZED,))
        return {"encoder/pos_embed": space, "temporal/pos_embed": time}

    def encoder_macs(self) -> int:
        """Multiply-accumulates of one clip through the encoder."""
        t, h, w = self.grid
        space = t * transformer_macs(h * w, self.width, self.mlp_dim, self.depth)
        time = h * w * transformer_macs(t, self.width, self.mlp_dim, self.temporal_depth)
        return self.num_tokens * self.patch_dim * self.width + space + time

    def pooler_macs(self, inner: int) -> int:
        """Multiply-accumulates of the pooling of all tokens by an attention of `inner` channels."""
        return 2 * inner * (self.num_tokens * (self.width + 1) + self.width)

    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip through the encoder and the head."""
        head = self.pooler_macs(self.pooler_dim or self.width) + self.width * num_classes if num_classes else 0
        return self.encoder_macs() + head


# arXiv:2402.13217, section 3.2, and the authors' models.py; tiny: for tests.
VIDEOPRISM_SPECS = {
    "tiny": VideoPrismSpec(96, 3, 4, 384, 2, patch_size=8, num_frames=8, image_size=64),
    "base": VideoPrismSpec(768, 12, 12, 3072),
    "large": VideoPrismSpec(1024, 24, 16, 4096, num_frames=8),
}


class VideoPrismBlock(nn.Module):
    """Pre-norm transformer block with capped attention, written as a scan step: returns (x, None).

    Attributes:
      activation: activation of the MLP.
    """

    num_heads: int
    mlp_dim: int
    cap: float
    norm_eps: float
    activation: Callable = layers.gelu
    attention: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b n d"],
        drop_path: Float[Array, ""] | None = None,
        mask: Bool[Array, "#b #h #n #n"] | None = None,
    ) -> tuple[Float[Array, "b n d"], None]:
        attend = functools.partial(capped_attention, cap=self.cap, mask=mask)
        attn = layers.Attention(self.num_heads, True, self.attention, self.dtype, lecun, attend, name="attn")
        y = attn(layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm1")(x))
        x = x + layers.DropPath()(y, drop_path)
        y = layers.LayerNorm(self.norm_eps, dtype=self.dtype, name="norm2")(x)
        y = self.activation(layers.Dense(self.mlp_dim, self.dtype, lecun, name="fc1")(y))
        return x + layers.DropPath()(layers.Dense(x.shape[-1], self.dtype, lecun, name="fc2")(y), drop_path), None


def stack(spec: VideoPrismSpec, depth: int) -> nn.Module:
    """Stack blocks of a spec's size; call the stack as `x, _ = blocks(x, rates, None)`."""
    blocks = layers.stack_blocks(
        VideoPrismBlock, depth, unroll=spec.unroll, remat=spec.remat, in_axes=(0, nn.broadcast)
    )
    return blocks(
        spec.num_heads, spec.mlp_dim, spec.logit_cap, spec.norm_eps,
        attention=spec.attention, dtype=jnp.dtype(spec.dtype), name="blocks",
    )  # fmt: skip


class VideoPrismEncoder(nn.Module):
    """Encode the patches of each frame; returns (b t s d) in the compute dtype."""

    spec: VideoPrismSpec

    @nn.compact
    def __call__(
        self, patches: Float[Array, "b t s p"], rates: Float[Array, " l"] | None = None
    ) -> Float[Array, "b t s d"]:
        s = self.spec
        x = layers.Linear(s.width, dtype=s.dtype, kernel_init=lecun, name="patch_embed")(patches.astype(s.dtype))
        positions = self.param("pos_embed", lecun, (x.shape[2], s.width), jnp.float32)
        x = rearrange(x + positions.astype(s.dtype), "b t s d -> (b t) s d")
        x, _ = stack(s, s.depth)(x, rates, None)
        return rearrange(
            layers.LayerNorm(s.norm_eps, dtype=s.dtype, name="norm")(x), "(b t) s d -> b t s d", b=len(patches)
        )


class VideoPrismTemporal(nn.Module):
    """Encode each place in the frame over time; returns (b t s d) in the compute dtype."""

    spec: VideoPrismSpec

    @nn.compact
    def __call__(self, x: Float[Array, "b t s d"], rates: Float[Array, " l"] | None = None) -> Float[Array, "b t s d"]:
        s, b = self.spec, len(x)
        positions = self.param("pos_embed", lecun, (x.shape[1], s.width), jnp.float32)
        x = rearrange(x, "b t s d -> (b s) t d") + positions.astype(s.dtype)
        x, _ = stack(s, s.temporal_depth)(x, rates, None)
        return rearrange(layers.LayerNorm(s.norm_eps, dtype=s.dtype, name="norm")(x), "(b s) t d -> b t s d", b=b)


class VideoPrismPooler(nn.Module):
    """A learned query attends to all tokens; returns (b d) in float32, after a norm.

    Attributes:
      inner: channels of queries, keys and values.
    """

    spec: VideoPrismSpec
    inner: int

    @nn.compact
    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        s, dtype = self.spec, jnp.dtype(self.spec.dtype)
        width = self.inner // s.num_heads
        query = self.param("query_token", lecun, (1, s.width), jnp.float32)
        scales = self.param("scale", nn.initializers.zeros, (width,), jnp.float32)

        def project(x, name):
            return rearrange(layers.Dense(self.inner, dtype, lecun, name=name)(x), "... (h e) -> ... h e", e=width)

        q = project(query.astype(dtype), "query") * (_SOFTPLUS_0 * width**-0.5 * jax.nn.softplus(scales)).astype(dtype)
        q = jnp.broadcast_to(q, (len(tokens), *q.shape))
        k, v = project(tokens, "key"), project(tokens, "value")
        y = ops.attention(q, k, v, scale=1.0, implementation=s.attention)[:, 0]
        y = layers.Dense(s.width, dtype, lecun, name="proj")(rearrange(y, "b h e -> b (h e)"))
        return layers.LayerNorm(s.norm_eps, name="norm")(y.astype(jnp.float32))


class VideoPrismClassifier(ClipClassifier[VideoPrismSpec]):
    """Both encoders, a pooler with a learned query, and a linear head; `num_classes=0` omits the pooler and head."""

    def setup(self):
        s = self.spec
        self.encoder, self.temporal = VideoPrismEncoder(s), VideoPrismTemporal(s)
        if self.num_classes:
            self.pooler = VideoPrismPooler(s, s.pooler_dim or s.width)
        self.head = layers.Head(self.num_classes, s.head_dropout, lecun)

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Return the tokens, and `pooled`: the head's input, or the tokens' mean if there is no head."""
        s = self.spec
        rates = layers.drop_path_rates(s.drop_path, s.depth + s.temporal_depth, train)
        early, late = (None, None) if rates is None else (rates[: s.depth], rates[s.depth :])
        x = self.encoder(rearrange(patches, "b (t s) p -> b t s p", t=s.grid[0]), early)
        tokens = rearrange(self.temporal(x, late), "b t s d -> b (t s) d")
        pooled = self.pooler(tokens) if self.num_classes else tokens.mean(axis=1, dtype=jnp.float32)
        return {"tokens": tokens, "pooled": pooled}


class VideoPrismHead(nn.Module):
    """The head of models with a text tower: auxiliary blocks over a clip's tokens, then pooling by a learned query.

    Attributes:
      depth: number of auxiliary blocks.
    """

    spec: VideoPrismSpec
    depth: int

    @nn.compact
    def __call__(self, tokens: Float[Array, "b n d"]) -> Float[Array, "b d"]:
        x, _ = stack(self.spec, self.depth)(tokens, None, None)
        return VideoPrismPooler(self.spec, self.spec.mlp_dim, name="pooler")(x)


def head_macs(spec: VideoPrismSpec, depth: int) -> int:
    """Multiply-accumulates of a `VideoPrismHead`."""
    return transformer_macs(spec.num_tokens, spec.width, spec.mlp_dim, depth) + spec.pooler_macs(spec.mlp_dim)


def sine_positions(length: int, width: int, last: bool) -> Float[np.ndarray, "n d"]:
    """Return sine positions: sines, then cosines, of the angles position / 10000^(i / n) for i from 0 to width / 2 - 1.

    Args:
      last: whether n is width / 2 - 1, as in the authors' code, so that the last exponent is 1. Otherwise n is
        width / 2, as in `transformers`.
    """
    count = width // 2
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(count) / (max(count - 1, 1) if last else count))
    return np.concatenate([np.sin(angles), np.cos(angles), np.zeros((length, width % 2))], axis=1).astype(np.float32)


FAMILY = Family("VideoPrism", VIDEOPRISM_SPECS, VideoPrismClassifier)
