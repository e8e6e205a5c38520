"""V-JEPA 2: a ViT on space-time cubes, trained to predict features of hidden cubes (Assran et al., arXiv:2506.09985).

The encoder sees only the cubes of the context; a narrow predictor predicts the features that a teacher, a moving
average of the encoder, computes for hidden cubes. Positions are rotary, so clips may have any number of frames and any
size. Details follow the authors' code (`facebookresearch/vjepa2`, `src/models`).
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import layers
from vidjax.models.attentive import AttentivePooler, pooler_macs
from vidjax.models.classifier import ClipClassifier
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.family import Family
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import ClipSpec, check_heads, nearest_heads
from vidjax.models.vjepa2_blocks import Block, Tables, numbers
from vidjax.ops.rotary import NARROWEST


@dataclasses.dataclass(frozen=True)
class VJEPA2Spec(ClipSpec):
    """The shape of a V-JEPA 2; the fields of `ClipSpec` are keyword-only.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the encoder.
      predictor_width, predictor_depth, predictor_heads, predictor_mlp_dim: size of the predictor.
      num_mask_tokens: number of the predictor's mask tokens; each call uses one.
      pooler_depth: blocks of self-attention in a classifier's attentive pooler.
      pooler_heads, pooler_norm_eps: the pooler's attention heads, and the epsilon of its norms.
      levels: the encoder's blocks, counted from 0, whose output tokens the pooler reads together, each after the final
        norm; the last block must be among them. Empty for the last block alone. The authors' probes on Diving48 and
        Jester read four.
      init_std: standard deviation of initial kernels; the published 0.02 is meant for widths near 1024.

    Raises:
      ConfigError: if heads do not divide a width or have fewer than 6 channels, if the levels are not blocks in
        ascending order that end with the last, and as in `ClipSpec`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    predictor_width: int = 384
    predictor_depth: int = 12
    predictor_heads: int = 12
    predictor_mlp_dim: int = 1536
    _: dataclasses.KW_ONLY
    num_mask_tokens: int = 10
    pooler_depth: int = 3
    pooler_heads: int = 16
    pooler_norm_eps: float = 1e-5
    levels: tuple[int, ...] = ()
    init_std: float = 0.02
    num_frames: int = 64
    image_size: int | tuple[int, int] = 256

    def __post_init__(self):
        super().__post_init__()
        check_heads("", self.width, self.num_heads)
        check_heads("predictor_", self.predictor_width, self.predictor_heads)
        if self.width % self.pooler_heads:
            raise ConfigError(
                f"width={self.width} is not a multiple of pooler_heads={self.pooler_heads}; use "
                f"pooler_heads={nearest_heads(self.width, self.pooler_heads)}"
            )
        for key, width, heads in (
            ("num_heads", self.width, self.num_heads),
            ("predictor_heads", self.predictor_width, self.predictor_heads),
        ):
            if width // heads < NARROWEST:
                raise ConfigError(
                    f"{key}={heads} leaves {width // heads} channels per head, but rotary positions need "
                    f"at least {NARROWEST}; use {key}={width // NARROWEST} or fewer"
                )
        if self.levels and (list(self.levels) != sorted(set(self.levels)) or self.levels[-1] != self.depth - 1):
            raise ConfigError(
                f"levels={tuple(self.levels)} must ascend and end with the last of the {self.depth} blocks, which is "
                f"{self.depth - 1}; leave levels empty for that block alone"
            )
        if self.levels and self.levels[0] < 0:
            raise ConfigError(f"levels={tuple(self.levels)} are blocks counted from 0; use 0 to {self.depth - 1}")

    @property
    def computed_positions(self) -> str:
        """See `ClipSpec`."""
        return "rotary positions"

    def encoder_macs(self, num_tokens: int) -> int:
        """Multiply-accumulates of the encoder on `num_tokens` tokens of a clip; only these are embedded."""
        blocks = transformer_macs(num_tokens, self.width, self.mlp_dim, self.depth)
        return num_tokens * self.patch_dim * self.width + blocks

    def pretraining_macs(self, num_context: int, num_targets: int) -> int:
        """Multiply-accumulates of encoding the context of a clip and predicting the features of the targets."""
        width, ends = self.predictor_width, (num_context + num_targets) * self.width * self.predictor_width
        blocks = transformer_macs(num_context + num_targets, width, self.predictor_mlp_dim, self.predictor_depth)
        return self.encoder_macs(num_context) + ends + blocks

    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip, with all its tokens, through the encoder, the pooler and the head."""
        encoder = self.encoder_macs(self.num_tokens)
        if not num_classes:
            return encoder
        tokens = self.num_tokens * max(len(self.levels), 1)
        return encoder + pooler_macs(tokens, self.width, self.pooler_depth) + self.width * num_classes


def _sizes(width, depth, num_heads, mlp_dim=0, **others) -> VJEPA2Spec:
    """Return a spec whose MLP is four times as wide as the model, unless `mlp_dim` is given."""
    return VJEPA2Spec(width, depth, num_heads, mlp_dim or 4 * width, **others)


# The authors' `src/hub/backbones.py` and `src/models/vision_transformer.py`, where giant's MLP has the ratio 48/11. The
# published weights were last trained on 64 frames. tiny: for tests.
VJEPA2_SPECS = {
    "tiny": _sizes(
        96, 4, 4, predictor_width=48, predictor_depth=2, predictor_heads=2, predictor_mlp_dim=192, pooler_depth=1,
        pooler_heads=4, patch_size=8, num_frames=8, image_size=64,
    ),
    "large": _sizes(1024, 24, 16),
    "huge": _sizes(1280, 32, 16),
    "giant": _sizes(1408, 40, 22, 6144),
    "giant_384": _sizes(1408, 40, 22, 6144, image_size=384),
}  # fmt: skip


class VJEPA2Encoder(nn.Module):
    """Encode cubes to tokens.

    Attributes:
      taps: indices of the blocks whose outputs `hidden` returns.
    """

    spec: VJEPA2Spec
    taps: tuple[int, ...] = ()
    takes_index, has_class_token, has_attention = True, False, False

    def setup(self):
        s = self.spec
        self.patch_embed = layers.Linear(s.width, dtype=s.dtype, kernel_init=self.kernel_init)
        block = layers.tapped(Block) if self.taps else Block
        self.blocks = _blocks(block, s, (s.depth, s.num_heads, s.mlp_dim))
        self.norm = layers.LayerNorm(s.norm_eps, dtype=s.dtype)

    @property
    def kernel_init(self) -> Callable:
        """Initialiser of kernels."""
        return nn.initializers.normal(self.spec.init_std)

    @property
    def out_dim(self) -> int:
        """Channels of the features that `hidden` returns."""
        return self.spec.width

    def embed_patches(self, patches: Float[Array, "b k p"]) -> Float[Array, "b k d"]:
        """Embed normalised patches, which may be NumPy arrays; positions are applied in each block."""
        return self.patch_embed(patches.astype(self.spec.dtype))

    def __call__(
        self, patches: Float[Array, "b k p"], index: Int[Array, "b k"] | None = None, train: bool = False
    ) -> Float[Array, "b k d"]:
        """Encode all cubes of clips, or those with the token indices `index`."""
        s = self.spec
        tables = _tables(s, s.width // s.num_heads, index)
        x, _ = self.blocks(self.embed_patches(patches), _layers(s, s.depth, train), tables)
        return self.norm(x)

    def hidden(
        self,
        patches: Float[Array, "b k p"],
        index: Int[Array, "b k"] | None = None,
        train: bool = False,
        norm: bool = True,
    ) -> dict[str, Float[Array, "l b k d"]]:
        """Return the outputs of the blocks `taps` in float32, for all tokens or for those in `index`.

        Args:
          norm: whether to apply the encoder's final norm to the outputs of every block.

        Returns:
          tokens (l b k d) of the l blocks; there is no class token.
        """
        s = self.spec
        tables = _tables(s, s.width // s.num_heads, index)
        x, inputs = self.embed_patches(patches), _layers(s, s.depth, train)
        x, _ = layers.run_tapped(self.blocks, x, inputs, self.taps, s.depth, tables)
        return {"tokens": (self.norm(x) if norm else x).astype(jnp.float32)}


class VJEPA2Predictor(nn.Module):
    """Predict the features of hidden cubes from the tokens of the context."""

    spec: VJEPA2Spec

    def setup(self):
        s = self.spec
        init = nn.initializers.normal(s.init_std)
        self.embed = layers.Linear(s.predictor_width, dtype=s.dtype, kernel_init=init)
        tokens = (s.num_mask_tokens, s.predictor_width)
        self.mask_token = self.param("mask_token", nn.initializers.zeros, tokens, jnp.float32)
        self.blocks = _blocks(Block, s, (s.predictor_depth, s.predictor_heads, s.predictor_mlp_dim))
        self.norm = layers.LayerNorm(s.norm_eps, dtype=s.dtype)
        self.out = layers.Dense(s.width, s.dtype, init)

    def __call__(
        self,
        tokens: Float[Array, "b k d"],
        context_idx: Int[Array, "b k"],
        target_idx: Int[Array, "b m"],
        train: bool = False,
        mask_token: int = 1,
    ) -> Float[Array, "b m d"]:
        """Predict the features at `target_idx`, in float32.

        Args:
          tokens: the encoder's tokens, at `context_idx`.
          mask_token: index of the mask token. The authors train with 0; their predictor's default is 1, as in
            `transformers`.
        """
        s = self.spec
        hidden = self.mask_token[mask_token % s.num_mask_tokens].astype(s.dtype)
        hidden = jnp.broadcast_to(hidden, (*target_idx.shape, s.predictor_width))
        x = jnp.concatenate([self.embed(tokens.astype(s.dtype)), hidden], axis=1)
        index = jnp.concatenate([context_idx, target_idx], axis=1)
        tables = _tables(s, s.predictor_width // s.predictor_heads, index)
        x, _ = self.blocks(x, _layers(s, s.predictor_depth, train), tables)
        return self.out(self.norm(x[:, context_idx.shape[1] :])).astype(jnp.float32)


class VJEPA2Pretraining(CompiledInit):
    """The context encoder and the predictor."""

    spec: VJEPA2Spec

    def setup(self):
        self.encoder = VJEPA2Encoder(self.spec)
        self.predictor = VJEPA2Predictor(self.spec)

    def __call__(
        self,
        clips: Float[Array, "b t h w c"],
        context_idx: Int[Array, "b k"],
        target_idx: Int[Array, "b m"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Predict the features of some cubes of normalised clips from the context; see `from_patches`."""
        self.spec.check_clips(clips)
        patches = ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size)
        return self.from_patches(ops.gather_tokens(patches, context_idx), context_idx, target_idx, train)

    def from_patches(
        self,
        context: Float[Array, "b k p"],
        context_idx: Int[Array, "b k"],
        target_idx: Int[Array, "b m"],
        train: bool = False,
        mask_token: int = 1,
    ) -> dict[str, Array]:
        """Predict features from the normalised cubes of the context, flattened as by `ops.patchify`.

        Returns:
          tokens (b k d): the encoder's output; predicted (b m d): float32.
        """
        tokens = self.encoder(context, context_idx, train)
        return {"tokens": tokens, "predicted": self.predictor(tokens, context_idx, target_idx, train, mask_token)}


class VJEPA2Classifier(ClipClassifier[VJEPA2Spec]):
    """The encoder, an attentive pooler and a linear head; without classes, the tokens are averaged instead.

    The authors train the pooler and the head on frozen features.
    """

    def setup(self):
        s = self.spec
        self.encoder = VJEPA2Encoder(s, s.levels)
        if self.num_classes:
            self.pooler = AttentivePooler(
                s.pooler_heads, s.pooler_depth, s.pooler_norm_eps, s.attention, jnp.dtype(s.dtype), s.init_std,
                unroll=s.unroll, remat=s.remat,
            )  # fmt: skip
        self.head = layers.Head(self.num_classes, s.head_dropout, nn.initializers.normal(s.init_std))

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Return the last block's tokens, and `pooled`: the head's input, or the tokens' mean if there is no head.

        With `levels` there are also `level_tokens` (b levels*n d), the tokens of one level after another.
        """
        if self.encoder.taps:
            of_levels = self.encoder.hidden(patches, train=train)["tokens"].astype(self.spec.dtype)
            tokens, read = of_levels[-1], jnp.concatenate(list(of_levels), axis=1)
            out = {"tokens": tokens, "level_tokens": read}
        else:
            tokens = read = self.encoder(patches, train=train)
            out = {"tokens": tokens}
        if not self.num_classes:
            return out | {"pooled": tokens.mean(axis=1, dtype=jnp.float32)}
        return out | {"pooled": self.pooler(read)}


def _blocks(block: type[nn.Module], spec: VJEPA2Spec, sizes: tuple[int, int, int]) -> nn.Module:
    depth, num_heads, mlp_dim = sizes
    in_axes = (0, nn.broadcast)  # all layers share the tables
    stacked = layers.stack_blocks(block, depth, unroll=spec.unroll, remat=spec.remat, in_axes=in_axes)
    return stacked(num_heads, mlp_dim, spec.norm_eps, spec.attention, jnp.dtype(spec.dtype), spec.init_std)


def _layers(spec: VJEPA2Spec, depth: int, train: bool) -> tuple:
    """Return the inputs of `depth` stacked blocks: drop path rates and block numbers."""
    return layers.drop_path_rates(spec.drop_path, depth, train), jnp.asarray(numbers(depth))


def _tables(spec: VJEPA2Spec, head_dim: int, index: Int[Array, "b k"] | None) -> Tables:
    """Return the rotary positions of all tokens of a clip, or of those in `index`."""
    cos, sin = ops.rotary_3d(spec.grid, head_dim)
    return (cos, sin) if index is None else (cos[index], sin[index])


FAMILY = Family("V-JEPA 2", VJEPA2_SPECS, VJEPA2Classifier, VJEPA2Pretraining, VJEPA2Encoder)
