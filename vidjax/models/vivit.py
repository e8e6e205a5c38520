"""ViViT: a ViT on space-time cubes, with four kinds of attention (Arnab et al. 2021, arXiv:2103.15691, section 3).

Details follow the authors' code (scenic, `projects/vivit`).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from vidjax.errors import ConfigError
from vidjax.models import layers
from vidjax.models.classifier import ClipClassifier
from vidjax.models.family import Family
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import ClipSpec, Positions, check_choice, check_heads, nearest_heads
from vidjax.models.vivit_blocks import Block, SplitHeadsAttention, TimeSpaceBlock, over_space

# The class and options of each factorization's blocks.
BLOCKS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "joint": (Block, {}),
    "encoder": (Block, {"over": over_space}),
    "self_attention": (TimeSpaceBlock, {}),
    "dot_product": (Block, {"attention_class": SplitHeadsAttention}),
}
_RESIZED = "linear, corners kept"


@dataclasses.dataclass(frozen=True)
class ViViTSpec(ClipSpec):
    """The shape of a ViViT; the fields of `ClipSpec` are keyword-only.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the blocks.
      factorization: one of the paper's models 1 to 4. `joint` (scenic's spacetime) attends over all tokens; `encoder`
        (factorized_encoder) encodes each frame, then the frames' class tokens; `self_attention`
        (factorized_self_attention_block) attends over time, then within frames, in each block; `dot_product`
        (factorized_dot_product_attention) attends over time with half of the heads, and within frames with the rest.
        The first two classify by a class token, the others by the mean of all tokens.
      temporal_depth: number of blocks of the second encoder, for `encoder` only.
      tubelet_init: how the embedding of cubes starts from an image model's (section 3.4). `central_frame` embeds one
        frame of a cube as the image model does; `inflation` embeds the mean of the cube's frames.

    Raises:
      ConfigError: if the heads do not divide the width, or cannot be halved for `dot_product`; for an unknown
        `factorization` or `tubelet_init`; if `drop_path` is set for `self_attention`, which does not use it; and as in
        `ClipSpec`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    factorization: str = "joint"
    temporal_depth: int = 4
    tubelet_init: str = "central_frame"

    def __post_init__(self):
        super().__post_init__()
        check_heads("", self.width, self.num_heads)
        check_choice("factorization", self.factorization, tuple(BLOCKS))
        check_choice("tubelet_init", self.tubelet_init, ("central_frame", "inflation"))
        if self.factorization == "dot_product" and self.num_heads % 2:
            even = nearest_heads(self.width, self.num_heads, 2)
            remedy = f"use num_heads={even}" if even else f"use an even width instead of {self.width}"
            raise ConfigError(
                f"factorization='dot_product' splits the heads in two; num_heads={self.num_heads} is odd; {remedy}"
            )
        if self.factorization == "encoder" and self.temporal_depth < 1:
            raise ConfigError(
                f"factorization='encoder' needs a temporal_depth of at least 1, not {self.temporal_depth}; use 4, as "
                "in the paper"
            )
        if self.factorization == "self_attention" and self.drop_path:
            raise ConfigError(
                f"drop_path={self.drop_path} has no effect with factorization='self_attention', as in scenic; use 0"
            )

    def override(self, **fields):
        """Copy the spec with a user's values, and reject a `temporal_depth` without a second encoder."""
        spec = super().override(**fields)
        if spec.factorization != "encoder" and spec.temporal_depth != self.temporal_depth:
            raise ConfigError(
                f"temporal_depth={spec.temporal_depth} has no effect with factorization={spec.factorization!r}, which "
                "has no temporal encoder; leave temporal_depth out, or set factorization='encoder'"
            )
        return spec

    def differences(self, preset) -> dict[str, object]:
        """See `ClipSpec`; `temporal_depth` has no effect without a second encoder."""
        found = super().differences(preset)
        if self.factorization != "encoder":
            found.pop("temporal_depth", None)
        return found

    @property
    def learned_positions(self) -> Mapping[str, Positions]:
        """See `ClipSpec`; tables are resized as in scenic's `vivit/model_utils.py`.

        With two encoders, the first has a position for each place in a frame, and the second has a position for each
        frame.
        """
        if self.factorization == "encoder":
            space, time = Positions("hw", (_RESIZED,) * 2), Positions("t", (_RESIZED,))
            return {"encoder/pos_embed": space, "temporal/pos_embed": time}
        return {"encoder/pos_embed": Positions("thw", (_RESIZED,) * 3)}

    @property
    def class_token(self) -> bool:
        """Whether the head's input is a class token."""
        return self.factorization in ("joint", "encoder")

    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip through the encoder and the head."""
        t, h, w = self.grid
        n, s, d = self.num_tokens, h * w, self.width
        if self.factorization == "joint":
            blocks = transformer_macs(n + 1, d, self.mlp_dim, self.depth)
        elif self.factorization == "encoder":
            blocks = t * transformer_macs(s + 1, d, self.mlp_dim, self.depth)
            blocks += transformer_macs(t + 1, d, self.mlp_dim, self.temporal_depth)
        else:
            attentions = 2 if self.factorization == "self_attention" else 1  # of full width
            over_axes = attentions * (4 * d**2 + (t + s) * d)
            blocks = self.depth * n * (over_axes + 2 * d * self.mlp_dim)
        return n * self.patch_dim * d + blocks + d * num_classes


def _sizes(width, depth, num_heads, num_frames=32, **others) -> ViViTSpec:
    """Return a spec whose MLP is four times as wide as the model."""
    return ViViTSpec(width, depth, num_heads, 4 * width, num_frames=num_frames, **others)


# arXiv:2103.15691, section 4.1, 16x2 tubelets. The temporal depth of large_fe is from scenic's SSv2 and EPIC
# configurations; its Kinetics configuration says 24. tiny: for tests.
VIVIT_SPECS = {
    "tiny": _sizes(96, 4, 4, temporal_depth=2, patch_size=8, num_frames=8, image_size=64),
    "base": _sizes(768, 12, 12),
    "base_fe": _sizes(768, 12, 12, factorization="encoder"),
    "base_fsa": _sizes(768, 12, 12, factorization="self_attention"),
    "base_fdp": _sizes(768, 12, 12, factorization="dot_product"),
    "large_fe": _sizes(1024, 24, 16, factorization="encoder"),
}


class ViViTEncoder(nn.Module):
    """Encode cubes, or the class tokens of frames.

    Attributes:
      factorization: kind of blocks, a key of `BLOCKS`.
      depth: number of blocks.
      positions: number of positions along one axis, or along time and space.
      embed: whether to project cubes to the width first.
    """

    spec: ViViTSpec
    factorization: str
    depth: int
    positions: tuple[int, ...]
    embed: bool

    def setup(self):
        s = self.spec
        if self.embed:
            self.patch_embed = layers.Linear(s.width, dtype=s.dtype)
        if s.class_token:
            self.cls_token = self.param("cls_token", nn.initializers.zeros, (s.width,), jnp.float32)
        table = (math.prod(self.positions) + s.class_token, s.width)
        self.pos_embed = self.param("pos_embed", layers.normal_002, table, jnp.float32)
        block, options = BLOCKS[self.factorization]
        blocks = layers.stack_blocks(block, self.depth, unroll=s.unroll, remat=s.remat)
        self.blocks = blocks(
            s.num_heads, s.mlp_dim, norm_eps=s.norm_eps, attention=s.attention, dtype=jnp.dtype(s.dtype), **options
        )
        self.norm = layers.LayerNorm(s.norm_eps)

    def __call__(self, x: Float[Array, "b *n p"], train: bool = False) -> Float[Array, "b *m d"]:
        """Encode to float32 tokens after the final norm; a class token comes first along the last token axis."""
        x = self.embed_patches(x)
        x, _ = self.blocks(x, layers.drop_path_rates(self.spec.drop_path, self.depth, train))
        return self.norm(x)

    def embed_patches(self, x: Float[Array, "b *n p"]) -> Float[Array, "b *m d"]:
        """Return tokens with their positions, after the class token if there is one, as input to the first block."""
        s = self.spec
        x = x.astype(s.dtype)
        if self.embed:
            x = self.patch_embed(x)
        if s.class_token:
            cls = jnp.broadcast_to(self.cls_token.astype(s.dtype), (*x.shape[:-2], 1, s.width))
            x = jnp.concatenate([cls, x], axis=-2)
        return x + self.pos_embed.reshape(*self.positions[:-1], -1, s.width).astype(s.dtype)


class ViViTClassifier(ClipClassifier[ViViTSpec]):
    """One or two encoders and a linear head; `num_classes=0` omits the head."""

    def setup(self):
        s = self.spec
        t, h, w = s.grid
        positions = {"joint": (t * h * w,), "encoder": (h * w,)}.get(s.factorization, (t, h * w))
        self.encoder = ViViTEncoder(s, s.factorization, s.depth, positions, embed=True)
        if s.factorization == "encoder":
            self.temporal = ViViTEncoder(s, "joint", s.temporal_depth, (t,), embed=False)
        self.head = layers.Head(self.num_classes, s.head_dropout, nn.initializers.zeros)

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Return the first encoder's tokens and the head's input: the class token, or the tokens' mean."""
        s = self.spec
        if s.factorization == "joint":
            x = self.encoder(patches, train)
            tokens, pooled = x[:, 1:], x[:, 0]
        else:
            x = self.encoder(rearrange(patches, "b (t s) p -> b t s p", t=s.grid[0]), train)
            if s.factorization == "encoder":
                pooled = self.temporal(x[:, :, 0], train)[:, 0]
                x = x[:, :, 1:]
            else:
                pooled = x.mean(axis=(1, 2))
            tokens = rearrange(x, "b t s d -> b (t s) d")
        cls = {"cls": pooled} if s.class_token else {}
        return {"tokens": tokens.astype(s.dtype), "pooled": pooled} | cls


FAMILY = Family("ViViT", VIVIT_SPECS, ViViTClassifier)
