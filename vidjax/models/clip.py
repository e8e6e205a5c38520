"""CLIP's vision tower: a ViT of single frames (Radford et al. 2021, arXiv:2103.00020), applied to each frame of a clip.

Details follow OpenAI's published models and `transformers`' `CLIPVisionModelWithProjection`: a norm before the blocks,
x sigmoid(1.702 x) in the MLPs, and a projection of the output into the space shared by images and texts.
"""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models import layers
from vidjax.models.classifier import ClipClassifier
from vidjax.models.family import Family
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import ClipSpec, Positions, check_choice, check_heads


def quick_gelu(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Compute x sigmoid(1.702 x), the approximation of the GELU that OpenAI's models were trained with."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: Mapping[str, Callable] = {"quick_gelu": quick_gelu, "gelu": layers.gelu}


@dataclasses.dataclass(frozen=True)
class CLIPVisionSpec(ClipSpec):
    """The shape of a CLIP vision tower; the fields of `ClipSpec` are keyword-only.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the blocks.
      projection: channels of the space shared with texts; 0 for a tower without the projection.
      activation: the MLPs' activation, one of `ACTIVATIONS`; OpenAI's models use "quick_gelu".

    Raises:
      ConfigError: if the heads do not divide the width, for an unknown activation, and as in `ClipSpec`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    projection: int
    _: dataclasses.KW_ONLY
    activation: str = "quick_gelu"
    tubelet_size: int = 1
    num_frames: int = 8
    norm_eps: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        check_heads("", self.width, self.num_heads)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))

    @property
    def learned_positions(self) -> Mapping[str, Positions]:
        """See `ClipSpec`; the table is resized as in `transformers` and in VideoMamba's `models/clip.py`."""
        return {"encoder/pos_embed": Positions("hw", ("cubic", "cubic"))}

    def encoder_macs(self, num_tokens: int) -> int:
        """Multiply-accumulates of the tower on `num_tokens` tokens of a clip, equally many from each frame.

        As in a call of the encoder, only the class tokens' mean over frames is projected.
        """
        frames = self.grid[0]
        per_frame = transformer_macs(num_tokens // frames + 1, self.width, self.mlp_dim, self.depth)
        return num_tokens * self.patch_dim * self.width + frames * per_frame + self.width * self.projection

    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip through the tower and the head."""
        return self.encoder_macs(self.num_tokens) + self.width * num_classes


# arXiv:2103.00020, table 20, and the config.json files of openai/clip-vit-*; tiny: for tests.
CLIP_SPECS = {
    "tiny": CLIPVisionSpec(96, 4, 4, 384, 64, patch_size=8, image_size=64),
    "base32": CLIPVisionSpec(768, 12, 12, 3072, 512, patch_size=32),
    "base": CLIPVisionSpec(768, 12, 12, 3072, 512),
    "large": CLIPVisionSpec(1024, 24, 16, 4096, 768, patch_size=14),
    "large_336": CLIPVisionSpec(1024, 24, 16, 4096, 768, patch_size=14, image_size=336),
}


class CLIPAttention(nn.Module):
    """Self-attention that also returns the class token's attention to all tokens, averaged over heads.

    The class token is the first token. PyTorch's `nn.MultiheadAttention` averages over heads too.
    """

    spec: CLIPVisionSpec

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> tuple[Float[Array, "b n d"], Float[Array, "b n"]]:
        s, dtype = self.spec, jnp.dtype(self.spec.dtype)
        q, k, v = layers.QKV(s.num_heads, True, dtype, _normal(_in_std(s)), name="qkv")(x)
        out = layers.HeadsOut(dtype, _normal(s.width**-0.5), name="proj")(
            ops.attention(q, k, v, implementation=s.attention)
        )
        cls = jnp.einsum("bhe,bnhe->bhn", q[:, 0], k, preferred_element_type=jnp.float32)
        return out, jax.nn.softmax(cls * q.shape[-1] ** -0.5, axis=-1).mean(axis=1)


class CLIPBlock(nn.Module):
    """Pre-norm transformer block, written as a scan step: returns x and the class token's attention (b n)."""

    spec: CLIPVisionSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], drop_path: Float[Array, ""] | None = None
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b n"]]:
        s, dtype = self.spec, jnp.dtype(self.spec.dtype)
        y, attention = CLIPAttention(s, name="attn")(layers.LayerNorm(s.norm_eps, dtype=dtype, name="norm1")(x))
        x = x + layers.DropPath()(y, drop_path)
        y = layers.LayerNorm(s.norm_eps, dtype=dtype, name="norm2")(x)
        y = layers.Dense(s.mlp_dim, dtype, _normal((2 * s.width) ** -0.5), name="fc1")(y)
        y = layers.Dense(s.width, dtype, _normal(_in_std(s)), name="fc2")(ACTIVATIONS[s.activation](y))
        return x + layers.DropPath()(y, drop_path), attention


class CLIPEncoder(nn.Module):
    """Encode the patches of each frame separately, with a class token per frame.

    Attributes:
      taps: indices of the blocks whose outputs `hidden` returns.
    """

    spec: CLIPVisionSpec
    taps: tuple[int, ...] = ()
    takes_index, has_class_token, has_attention = False, True, True

    def setup(self):
        s = self.spec
        _, h, w = s.grid
        self.patch_embed = layers.Linear(s.width, use_bias=False, dtype=s.dtype, kernel_init=_normal(0.02))
        self.cls_token = self.param("cls_token", _normal(s.width**-0.5), (s.width,), jnp.float32)
        self.pos_embed = self.param("pos_embed", _normal(0.02), (1 + h * w, s.width), jnp.float32)
        self.pre_norm = layers.LayerNorm(s.norm_eps, dtype=s.dtype)
        block = layers.tapped(CLIPBlock) if self.taps else CLIPBlock
        self.blocks = layers.stack_blocks(block, s.depth, unroll=s.unroll, remat=s.remat)(s)
        self.norm = layers.LayerNorm(s.norm_eps, dtype=s.dtype)
        if s.projection:
            self.projection = layers.Linear(
                s.projection, use_bias=False, dtype=s.dtype, kernel_init=_normal(s.width**-0.5)
            )

    @property
    def out_dim(self) -> int:
        """Channels of the features that `hidden` returns."""
        return self.spec.projection or self.spec.width

    def embed_patches(self, patches: Float[Array, "b n p"]) -> Float[Array, "f l d"]:
        """Embed f = b t frames as a class token and patches, add positions, and apply the norm before the blocks."""
        x = self.patch_embed(patches.astype(self.spec.dtype)).astype(jnp.float32)
        x = rearrange(x, "b (t n) d -> (b t) n d", t=self.spec.grid[0])
        cls = repeat(self.cls_token, "d -> f 1 d", f=len(x))
        return self.pre_norm(jnp.concatenate([cls, x], axis=1) + self.pos_embed)

    def __call__(self, patches: Float[Array, "b n p"], train: bool = False) -> dict[str, Array]:
        """Encode the normalised cubes of clips, flattened as by `ops.patchify`.

        Returns:
          tokens (b n d), time first, and cls (b d) float32, the mean over frames, both after the final norm; projected
          (b e) float32: cls in the space shared with texts, if the tower has the projection.
        """
        s = self.spec
        x, _ = self.blocks(self.embed_patches(patches), layers.drop_path_rates(s.drop_path, s.depth, train))
        x = rearrange(self.norm(x), "(b t) l d -> b t l d", t=s.grid[0])
        cls = x[:, :, 0].astype(jnp.float32).mean(axis=1)
        out = {"tokens": rearrange(x[:, :, 1:], "b t n d -> b (t n) d"), "cls": cls}
        return out | ({"projected": self.projection(cls).astype(jnp.float32)} if s.projection else {})

    def hidden(
        self, patches: Float[Array, "b n p"], train: bool = False, norm: bool = True
    ) -> dict[str, Float[Array, " k b *dims"]]:
        """Return the outputs of the blocks `taps` in float32, projected if the tower has the projection.

        Args:
          norm: whether to apply the final norm, before the projection.

        Returns:
          tokens (k b n e) of the k blocks, time first; cls (k b e), the mean over frames; attention (b t n) of the
          class token to each frame's patches in the encoder's last block, the mean over heads.
        """
        s = self.spec
        rates = layers.drop_path_rates(s.drop_path, s.depth, train)
        kept, attention = layers.run_tapped(self.blocks, self.embed_patches(patches), rates, self.taps, s.depth)
        x = self.norm(kept) if norm else kept
        x = rearrange(x, "k (b t) l d -> k b t l d", t=s.grid[0])
        tokens, cls = rearrange(x[:, :, :, 1:], "k b t n d -> k b (t n) d"), x[:, :, :, 0].mean(axis=2)
        if s.projection:
            tokens, cls = self.projection(tokens), self.projection(cls)
        attention = rearrange(attention[-1, :, 1:], "(b t) n -> b t n", t=s.grid[0])
        return {"tokens": tokens.astype(jnp.float32), "cls": cls.astype(jnp.float32), "attention": attention}


class CLIPClassifier(ClipClassifier[CLIPVisionSpec]):
    """The tower and a linear head on the mean of the frames' class tokens; `num_classes=0` omits the head."""

    def setup(self):
        self.encoder = CLIPEncoder(self.spec)
        self.head = layers.Head(self.num_classes, self.spec.head_dropout, _normal(0.02))

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Return the tokens, and the class token, which is the head's input."""
        out = self.encoder(patches, train)
        return out | {"pooled": out["cls"]}


def _normal(std: float) -> Callable:
    return nn.initializers.normal(std)


def _in_std(spec: CLIPVisionSpec) -> float:
    """Initial standard deviation of the kernels of q, k, v and of the MLP's output; smaller for deeper towers."""
    return spec.width**-0.5 * (2 * spec.depth) ** -0.5


FAMILY = Family(
    "CLIP",
    CLIP_SPECS,
    CLIPClassifier,
    encoder=CLIPEncoder,
    sampling="segment",  # frames are encoded one by one, so they are spread over the whole video
    interpolation="bicubic",
    heading="CLIP's vision tower",
)
