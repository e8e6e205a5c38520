"""VideoMAE: a ViT on space-time cubes, pre-trained as a masked autoencoder (Tong et al. 2022, arXiv:2203.12602).

The encoder sees visible tokens only; a narrow decoder predicts the pixels of the others. Both have fixed sine-cosine
positions and no bias on the keys. Details follow the authors' public training runs.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import layers


def _check_multiple(what: str, value: int, divisor_name: str, divisor: int, key: str) -> None:
    if value < 1 or value % divisor:
        below = value // divisor * divisor
        remedy = f"{below} or {below + divisor}" if below > 0 else f"{divisor}"
        raise ConfigError(f"{what.format(value)} is not a multiple of {divisor_name}={divisor}; use {key}={remedy}")


@dataclasses.dataclass(frozen=True)
class VideoMAESpec:
    """The shape of a VideoMAE and how it is computed.

    Attributes:
      width, depth, num_heads, mlp_dim: of the encoder.
      decoder_width, decoder_depth, decoder_heads, decoder_mlp_dim: of the pre-training decoder.
      patch_size: side of a cube in pixels; tubelet_size: its length in frames.
      num_frames: of a clip; image_size: of a frame in pixels, one side or (height, width).
      drop_path: rate at the last block; head_dropout: before the classifier's head. Both in [0, 1).
      norm_eps: of every layer norm.
      dtype: of the computation, float32 or bfloat16; parameters are float32.
      remat: what the backward pass recomputes, one of `layers.REMAT`; unroll: layers an iteration of the scan.
      attention: an implementation of `vidjax.ops.attention`, None to choose by platform.

    Raises:
      ConfigError: when the cubes do not tile the clip, the heads do not divide the width, or a name is unknown.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int
    decoder_mlp_dim: int
    patch_size: int = 16
    tubelet_size: int = 2
    num_frames: int = 16
    image_size: int | tuple[int, int] = 224
    drop_path: float = 0.0
    head_dropout: float = 0.0
    norm_eps: float = 1e-6
    dtype: str = "float32"
    remat: str = "none"
    unroll: int = 1
    attention: str | None = None

    def __post_init__(self):
        _check_multiple("a clip of {} frames", self.num_frames, "tubelet_size", self.tubelet_size, "data.num_frames")
        for side in self.frame_size:
            _check_multiple("a frame side of {} pixels", side, "patch_size", self.patch_size, "data.image_size")
        for prefix, width, heads in (
            ("", self.width, self.num_heads),
            ("decoder_", self.decoder_width, self.decoder_heads),
        ):
            if width % heads:
                raise ConfigError(f"{prefix}width={width} is not a multiple of its {heads} attention heads")
        for name, allowed in (("dtype", ("float32", "bfloat16")), ("remat", layers.REMAT)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(allowed)}")
        for name in ("drop_path", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 0 and below 1")

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        return (self.image_size,) * 2 if isinstance(self.image_size, int) else tuple(self.image_size)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(t, h, w, c) of the clips it takes."""
        return (self.num_frames, *self.frame_size, ops.patches.CHANNELS)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Cubes along time, height and width."""
        height, width = self.frame_size
        return self.num_frames // self.tubelet_size, height // self.patch_size, width // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Cubes in a clip."""
        t, h, w = self.grid
        return t * h * w

    @property
    def patch_dim(self) -> int:
        """Values in a cube."""
        return self.tubelet_size * self.patch_size**2 * ops.patches.CHANNELS


def _sizes(width, depth, num_heads, decoder_width, decoder_depth, decoder_heads, **others) -> VideoMAESpec:
    """A spec whose MLPs are four times as wide as the model, unless said otherwise."""
    others = {"mlp_dim": 4 * width, "decoder_mlp_dim": 4 * decoder_width} | others
    return VideoMAESpec(
        width=width, depth=depth, num_heads=num_heads,
        decoder_width=decoder_width, decoder_depth=decoder_depth, decoder_heads=decoder_heads, **others,
    )  # fmt: skip


# small to huge: arXiv:2203.12602, appendix, decoder depths as in the authors' scripts. giant: VideoMAE V2,
# arXiv:2303.16727, whose ratio of 48/11 holds for both MLPs. tiny: for tests and the quickstart.
VIDEOMAE_SPECS = {
    "tiny": _sizes(96, 4, 4, 64, 2, 2, patch_size=8, num_frames=8, image_size=64),
    "small": _sizes(384, 12, 6, 192, 4, 3),
    "base": _sizes(768, 12, 12, 384, 4, 6),
    "large": _sizes(1024, 24, 16, 512, 12, 8),
    "huge": _sizes(1280, 32, 16, 640, 12, 8),
    "giant": _sizes(1408, 40, 16, 512, 4, 8, patch_size=14, mlp_dim=6144, decoder_mlp_dim=2234),
}


class VideoMAEEncoder(nn.Module):
    """Cubes to tokens.

    Attributes:
      final_norm: a layer norm after the last block, as in pre-training; the classifier has its own after pooling.
    """

    spec: VideoMAESpec
    kernel_init: Callable
    final_norm: bool

    def setup(self):
        s = self.spec
        self.patch_embed = nn.Dense(
            s.width, dtype=s.dtype, kernel_init=layers.torch_kernel, bias_init=layers.torch_bias(s.patch_dim)
        )
        self.blocks = _blocks(s, s.depth, s.num_heads, s.mlp_dim, self.kernel_init)
        if self.final_norm:
            self.norm = nn.LayerNorm(s.norm_eps, dtype=s.dtype)

    def embed_patches(
        self, patches: Float[Array, "b k p"], index: Int[Array, "b k"] | None = None
    ) -> Float[Array, "b k d"]:
        """Embed normalised patches, for instance made on the host; `index` says which tokens, None all in order."""
        positions = ops.sincos_1d(self.spec.num_tokens, self.spec.width)
        positions = positions[None] if index is None else positions[index]
        return self.patch_embed(patches.astype(self.spec.dtype)) + positions.astype(self.spec.dtype)

    def __call__(
        self, patches: Float[Array, "b k p"], index: Int[Array, "b k"] | None = None, train: bool = False
    ) -> Float[Array, "b k d"]:
        x = self.embed_patches(patches, index)
        x, _ = self.blocks(x, layers.drop_path_rates(self.spec.drop_path, self.spec.depth, train))
        return self.norm(x) if self.final_norm else x


class VideoMAEDecoder(nn.Module):
    """Visible and mask tokens, in that order, to the pixels of the masked ones."""

    spec: VideoMAESpec

    def setup(self):
        s = self.spec
        self.blocks = _blocks(s, s.decoder_depth, s.decoder_heads, s.decoder_mlp_dim, layers.xavier_uniform)
        self.norm = nn.LayerNorm(s.norm_eps, dtype=s.dtype)
        self.head = nn.Dense(s.patch_dim, dtype=s.dtype, kernel_init=layers.xavier_uniform)

    def __call__(self, x: Float[Array, "b n d"], num_masked: int, train: bool = False) -> Float[Array, "b m p"]:
        x, _ = self.blocks(x, layers.drop_path_rates(self.spec.drop_path, self.spec.decoder_depth, train))
        return self.head(self.norm(x[:, -num_masked:])).astype(jnp.float32)


class VideoMAEPretraining(nn.Module):
    """The masked autoencoder."""

    spec: VideoMAESpec

    def setup(self):
        s = self.spec
        self.encoder = VideoMAEEncoder(s, layers.xavier_uniform, final_norm=True)
        self.encoder_to_decoder = nn.Dense(
            s.decoder_width, use_bias=False, dtype=s.dtype, kernel_init=layers.torch_kernel
        )
        one_deviation = nn.initializers.truncated_normal(0.02, lower=-1, upper=1)
        self.mask_token = self.param("mask_token", one_deviation, (s.decoder_width,), jnp.float32)
        self.decoder = VideoMAEDecoder(s)

    def __call__(
        self,
        clips: Float[Array, "b t h w c"],
        visible_idx: Int[Array, "b k"],
        masked_idx: Int[Array, "b m"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Predict the masked cubes of normalised clips; see `from_patches` for the result."""
        _check_clips(clips, self.spec)
        patches = ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size)
        return self.from_patches(ops.gather_tokens(patches, visible_idx), visible_idx, masked_idx, train)

    def from_patches(
        self,
        visible: Float[Array, "b k p"],
        visible_idx: Int[Array, "b k"],
        masked_idx: Int[Array, "b m"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Predict masked cubes from normalised visible ones, as `ops.patchify` flattens them.

        Returns:
          tokens (b k d): the encoder's; reconstruction (b m p): float32, in the units of the training target.
        """
        tokens = self.encoder(visible, visible_idx, train)
        positions = ops.sincos_1d(self.spec.num_tokens, self.spec.decoder_width).astype(self.spec.dtype)
        x = self.encoder_to_decoder(tokens) + positions[visible_idx]
        hidden = self.mask_token.astype(self.spec.dtype) + positions[masked_idx]
        reconstruction = self.decoder(jnp.concatenate([x, hidden], axis=1), masked_idx.shape[1], train)
        return {"tokens": tokens, "reconstruction": reconstruction}


class VideoMAEClassifier(nn.Module):
    """The encoder on all tokens, their mean, a layer norm and a linear head."""

    spec: VideoMAESpec
    num_classes: int

    def setup(self):
        self.encoder = VideoMAEEncoder(self.spec, layers.normal_002, final_norm=False)
        self.fc_norm = nn.LayerNorm(self.spec.norm_eps)
        self.dropout = nn.Dropout(self.spec.head_dropout)
        self.head = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.02 * 0.001))

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Classify normalised clips; see `from_patches` for the result."""
        _check_clips(clips, self.spec)
        return self.from_patches(ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size), train)

    def from_patches(self, patches: Float[Array, "b n p"], train: bool = False) -> dict[str, Array]:
        """Classify all the normalised cubes of clips, as `ops.patchify` flattens them.

        Returns:
          tokens (b n d); pooled (b d) and logits (b num_classes), float32.
        """
        tokens = self.encoder(patches, train=train)
        pooled = self.fc_norm(tokens.mean(axis=1, dtype=jnp.float32))
        logits = self.head(self.dropout(pooled, deterministic=not train))
        return {"tokens": tokens, "pooled": pooled, "logits": logits}


def _blocks(spec: VideoMAESpec, depth: int, num_heads: int, mlp_dim: int, kernel_init: Callable) -> nn.Module:
    stacked = layers.stack_blocks(layers.Block, depth, unroll=spec.unroll, remat=spec.remat)
    return stacked(
        num_heads, mlp_dim, key_bias=False, norm_eps=spec.norm_eps, attention=spec.attention,
        dtype=jnp.dtype(spec.dtype), kernel_init=kernel_init,
    )  # fmt: skip


def _check_clips(clips: Array, spec: VideoMAESpec) -> None:
    if clips.shape[1:] != spec.clip_shape:
        given, wanted = ("x".join(map(str, shape)) for shape in (clips.shape[1:], spec.clip_shape))
        raise ConfigError(
            f"clips of {given} (t h w c) do not fit a model built for {wanted}; "
            f"build it with num_frames={clips.shape[1]}, image_size={clips.shape[2:4]}"
        )
