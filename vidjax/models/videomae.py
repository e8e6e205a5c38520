"""VideoMAE: a ViT on space-time cubes, pre-trained as a masked autoencoder (Tong et al. 2022, arXiv:2203.12602).

The encoder sees only the visible tokens. A narrow decoder predicts the pixels of the masked tokens; in V2 (Wang et al.
2023, arXiv:2303.16727), it predicts half of all tokens, and the loss leaves out those that the encoder has seen.
Encoder and decoder have fixed sine-cosine positions and no key bias. Details follow the authors' public training runs.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax import ops
from vidjax.models import layers
from vidjax.models.classifier import ClipClassifier
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.family import Family
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import ClipSpec, check_choice, check_heads

POOLINGS = ("mean", "first")


@dataclasses.dataclass(frozen=True)
class VideoMAESpec(ClipSpec):
    """The shape of a VideoMAE; the fields of `ClipSpec` are keyword-only.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the encoder.
      decoder_width, decoder_depth, decoder_heads, decoder_mlp_dim: size of the pre-training decoder.
      pooling: the classifier's pooling, one of `POOLINGS`: "mean" averages the tokens and applies `fc_norm`, as
        published; "first" applies the encoder's final norm and takes the first token, an option of `transformers`.
      final_norm: whether the encoder ends with a norm in pre-training, as published; models pre-trained by
        `transformers` with use_mean_pooling=true, its default, have none.
      fc_norm_eps, decoder_norm_eps: epsilons of `fc_norm` and of the decoder's norm; some sources use
        values other than `norm_eps` here.
      init_std: standard deviation of the initial kernels of the classifier's blocks; the published 0.02 is meant for
        widths near 768.

    Raises:
      ConfigError: if the heads do not divide the width, for an unknown pooling, and as in `ClipSpec`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int
    decoder_mlp_dim: int
    _: dataclasses.KW_ONLY
    pooling: str = "mean"
    final_norm: bool = True
    fc_norm_eps: float = 1e-6
    decoder_norm_eps: float = 1e-6
    init_std: float = 0.02

    def __post_init__(self):
        super().__post_init__()
        check_choice("pooling", self.pooling, POOLINGS)
        check_heads("", self.width, self.num_heads)
        check_heads("decoder_", self.decoder_width, self.decoder_heads)

    def for_classes(self):
        """Return the spec for fine-tuning, which classifies by the mean of the tokens, as published."""
        return dataclasses.replace(self, pooling="mean")

    def encoder_macs(self, num_tokens: int) -> int:
        """Multiply-accumulates of the encoder on `num_tokens` tokens of a clip; only these are embedded."""
        blocks = transformer_macs(num_tokens, self.width, self.mlp_dim, self.depth)
        return num_tokens * self.patch_dim * self.width + blocks

    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip, with all its tokens, through the encoder and the head."""
        return self.encoder_macs(self.num_tokens) + self.width * num_classes

    def pretraining_macs(self, num_visible: int, num_predicted: int) -> int:
        """Multiply-accumulates of one clip with `num_visible` encoded and `num_predicted` predicted tokens.

        The decoder attends to both.
        """
        decoded = num_visible + num_predicted
        decoder = transformer_macs(decoded, self.decoder_width, self.decoder_mlp_dim, self.decoder_depth)
        bridge = num_visible * self.width * self.decoder_width
        head = num_predicted * self.decoder_width * self.patch_dim
        return self.encoder_macs(num_visible) + bridge + decoder + head


def _sizes(width, depth, num_heads, decoder_width, decoder_depth, decoder_heads, **others) -> VideoMAESpec:
    """Return a spec whose MLPs are four times as wide as the model, unless overridden."""
    others = {"mlp_dim": 4 * width, "decoder_mlp_dim": 4 * decoder_width} | others
    return VideoMAESpec(
        width=width, depth=depth, num_heads=num_heads,
        decoder_width=decoder_width, decoder_depth=decoder_depth, decoder_heads=decoder_heads, **others,
    )  # fmt: skip


# small to huge: arXiv:2203.12602, appendix, decoder depths as in the authors' scripts. huge_v2 and giant:
# arXiv:2303.16727, where decoders have 4 layers and 512 channels; giant's MLPs are 48/11 times as wide as their inputs.
# tiny: for tests and the quickstart.
VIDEOMAE_SPECS = {
    "tiny": _sizes(96, 4, 4, 64, 2, 2, patch_size=8, num_frames=8, image_size=64),
    "small": _sizes(384, 12, 6, 192, 4, 3),
    "base": _sizes(768, 12, 12, 384, 4, 6),
    "large": _sizes(1024, 24, 16, 512, 12, 8),
    "huge": _sizes(1280, 32, 16, 640, 12, 8),
    "huge_v2": _sizes(1280, 32, 16, 512, 4, 8),
    "giant": _sizes(1408, 40, 16, 512, 4, 8, patch_size=14, mlp_dim=6144, decoder_mlp_dim=2234),
}


class VideoMAEEncoder(nn.Module):
    """Encode cubes to tokens.

    Attributes:
      final_norm: whether a layer norm follows the last block; a mean-pooling classifier has its own norm instead.
      taps: indices of the blocks whose outputs `hidden` returns.
    """

    spec: VideoMAESpec
    kernel_init: Callable
    final_norm: bool
    taps: tuple[int, ...] = ()
    takes_index, has_class_token, has_attention = True, False, False

    def setup(self):
        s = self.spec
        self.patch_embed = layers.Linear(
            s.width, dtype=s.dtype, kernel_init=layers.torch_kernel, bias_init=layers.torch_bias(s.patch_dim)
        )
        block = layers.tapped(layers.Block) if self.taps else layers.Block
        self.blocks = _blocks(block, s, (s.depth, s.num_heads, s.mlp_dim), self.kernel_init)
        if self.final_norm:
            self.norm = layers.LayerNorm(s.norm_eps, dtype=s.dtype)

    def embed_patches(
        self, patches: Float[Array, "b k p"], index: Int[Array, "b k"] | None = None
    ) -> Float[Array, "b k d"]:
        """Embed normalised patches; `index` has their token indices, and None means all tokens."""
        positions = ops.sincos_1d(self.spec.num_tokens, self.spec.width)
        positions = positions[None] if index is None else positions[index]
        return self.patch_embed(patches.astype(self.spec.dtype)) + positions.astype(self.spec.dtype)

    def __call__(
        self, patches: Float[Array, "b k p"], index: Int[Array, "b k"] | None = None, train: bool = False
    ) -> Float[Array, "b k d"]:
        x = self.embed_patches(patches, index)
        x, _ = self.blocks(x, layers.drop_path_rates(self.spec.drop_path, self.spec.depth, train))
        return self.norm(x) if self.final_norm else x

    @property
    def out_dim(self) -> int:
        """Channels of the features that `hidden` returns."""
        return self.spec.width

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
        rates = layers.drop_path_rates(s.drop_path, s.depth, train)
        x, _ = layers.run_tapped(self.blocks, self.embed_patches(patches, index), rates, self.taps, s.depth)
        return {"tokens": (self.norm(x) if norm else x).astype(jnp.float32)}


class VideoMAEDecoder(nn.Module):
    """Predict the pixels of the mask tokens, which follow the visible tokens."""

    spec: VideoMAESpec

    def setup(self):
        s = self.spec
        sizes = s.decoder_depth, s.decoder_heads, s.decoder_mlp_dim
        self.blocks = _blocks(layers.Block, s, sizes, layers.xavier_uniform)
        self.norm = layers.LayerNorm(s.decoder_norm_eps, dtype=s.dtype)
        self.head = layers.Dense(s.patch_dim, s.dtype, layers.xavier_uniform)

    def __call__(self, x: Float[Array, "b n d"], num_predicted: int, train: bool = False) -> Float[Array, "b q p"]:
        x, _ = self.blocks(x, layers.drop_path_rates(self.spec.drop_path, self.spec.decoder_depth, train))
        return self.head(self.norm(x[:, -num_predicted:])).astype(jnp.float32)


class VideoMAEPretraining(CompiledInit):
    """The masked autoencoder."""

    spec: VideoMAESpec

    def setup(self):
        s = self.spec
        self.encoder = VideoMAEEncoder(s, layers.xavier_uniform, final_norm=s.final_norm)
        self.encoder_to_decoder = layers.Linear(
            s.decoder_width, use_bias=False, dtype=s.dtype, kernel_init=layers.torch_kernel
        )
        one_deviation = nn.initializers.truncated_normal(0.02, lower=-1, upper=1)
        self.mask_token = self.param("mask_token", one_deviation, (s.decoder_width,), jnp.float32)
        self.decoder = VideoMAEDecoder(s)

    def __call__(
        self,
        clips: Float[Array, "b t h w c"],
        visible_idx: Int[Array, "b k"],
        predicted_idx: Int[Array, "b q"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Predict some cubes of normalised clips from the visible ones; see `from_patches` for the result."""
        self.spec.check_clips(clips)
        patches = ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size)
        return self.from_patches(ops.gather_tokens(patches, visible_idx), visible_idx, predicted_idx, train)

    def from_patches(
        self,
        visible: Float[Array, "b k p"],
        visible_idx: Int[Array, "b k"],
        predicted_idx: Int[Array, "b q"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Predict some cubes from normalised visible cubes, flattened as by `ops.patchify`.

        Returns:
          tokens (b k d): the encoder's output; reconstruction (b q p): float32, in the units of the training target.
        """
        tokens = self.encoder(visible, visible_idx, train)
        positions = ops.sincos_1d(self.spec.num_tokens, self.spec.decoder_width).astype(self.spec.dtype)
        x = self.encoder_to_decoder(tokens) + positions[visible_idx]
        hidden = self.mask_token.astype(self.spec.dtype) + positions[predicted_idx]
        reconstruction = self.decoder(jnp.concatenate([x, hidden], axis=1), predicted_idx.shape[1], train)
        return {"tokens": tokens, "reconstruction": reconstruction}


class VideoMAEClassifier(ClipClassifier[VideoMAESpec]):
    """The encoder on all tokens, pooled as the spec says, and a linear head; `num_classes=0` omits the head."""

    def setup(self):
        mean = self.spec.pooling == "mean"
        self.encoder = VideoMAEEncoder(self.spec, nn.initializers.normal(self.spec.init_std), final_norm=not mean)
        if mean:
            self.fc_norm = layers.LayerNorm(self.spec.fc_norm_eps)
        self.head = layers.Head(self.num_classes, self.spec.head_dropout, nn.initializers.normal(0.02 * 0.001))

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Return the tokens, and their pooled vector, which is the head's input."""
        tokens = self.encoder(patches, train=train)
        if self.spec.pooling == "mean":
            pooled = self.fc_norm(tokens.mean(axis=1, dtype=jnp.float32))
        else:
            pooled = tokens[:, 0].astype(jnp.float32)
        return {"tokens": tokens, "pooled": pooled}


def _blocks(
    block: type[nn.Module], spec: VideoMAESpec, sizes: tuple[int, int, int], kernel_init: Callable
) -> nn.Module:
    depth, num_heads, mlp_dim = sizes
    stacked = layers.stack_blocks(block, depth, unroll=spec.unroll, remat=spec.remat)
    return stacked(
        num_heads, mlp_dim, key_bias=False, norm_eps=spec.norm_eps, attention=spec.attention,
        dtype=jnp.dtype(spec.dtype), kernel_init=kernel_init,
    )  # fmt: skip


def _aligned_encoder(spec: VideoMAESpec, taps: tuple[int, ...]) -> VideoMAEEncoder:
    return VideoMAEEncoder(spec, layers.xavier_uniform, True, taps)


FAMILY = Family(
    "VideoMAE", VIDEOMAE_SPECS, VideoMAEClassifier, VideoMAEPretraining, _aligned_encoder,
    heading="VideoMAE and VideoMAE V2",
)  # fmt: skip
