"""`ClipSpec`, the base class of all families' specs: the clip, its cubes, and how the model is computed."""

import abc
import dataclasses
from collections.abc import Collection, Mapping
from typing import Self

from jaxtyping import Array, Float

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import layers

SIZES = (  # at least 1
    "patch_size", "tubelet_size", "num_frames", "width", "num_heads", "mlp_dim", "decoder_width", "decoder_heads",
    "decoder_mlp_dim", "predictor_width", "predictor_heads", "predictor_mlp_dim", "num_mask_tokens", "pooler_heads",
    "expand", "state_size", "conv_size", "vocab_size", "context", "num_positions",
)  # fmt: skip
DEPTHS = ("depth", "decoder_depth", "predictor_depth", "pooler_depth", "temporal_depth")  # at least 0


@dataclasses.dataclass(frozen=True)
class Positions:
    """A table of learned positions.

    Attributes:
      axes: the axes of the grid of cubes that the table covers, among t, h and w; a class token's row may come first.
      methods: how each axis is resized for clips of other sizes, as named in `vidjax.weights.resize_positions`.
      flat: whether the table is resized as one axis of all its rows, with a single method.
    """

    axes: str
    methods: tuple[str, ...]
    flat: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipSpec(abc.ABC):
    """The clips that a model takes, the cubes into which it cuts them, and how the model is computed.

    Attributes:
      patch_size: side of a cube in pixels.
      tubelet_size: length of a cube in frames.
      num_frames: frames per clip.
      image_size: frame size in pixels, one side or (height, width).
      drop_path: rate of stochastic depth at the last block, in [0, 1).
      head_dropout: rate of dropout before the classifier's head, in [0, 1).
      norm_eps: epsilon of every norm, unless the family says otherwise.
      dtype: compute dtype, float32 or bfloat16; parameters are float32.
      remat: what the backward pass recomputes, one of `layers.REMAT`.
      unroll: a stack of at most this many layers runs without a loop.
      attention: an implementation of `vidjax.ops.attention`; None chooses by platform.

    Raises:
      ConfigError: for a size below 1 or a depth below 0, if the cubes do not tile the clip, for an unknown `dtype` or
        `remat`, or for a rate out of range.
    """

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
        check_sizes(self)
        check_multiple("a clip of {} frames", self.num_frames, "tubelet_size", self.tubelet_size, "data.num_frames")
        for side in self.frame_size:
            check_multiple("a frame side of {} pixels", side, "patch_size", self.patch_size, "data.image_size")
        check_choice("dtype", self.dtype, ("float32", "bfloat16"))
        check_choice("remat", self.remat, layers.REMAT)
        for name in ("drop_path", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 0 and below 1")

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        height, width = self.image_size
        return height, width

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Shape (t, h, w, c) of the model's clips."""
        return (self.num_frames, *self.frame_size, ops.patches.CHANNELS)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Number of cubes along time, height and width."""
        height, width = self.frame_size
        return self.num_frames // self.tubelet_size, height // self.patch_size, width // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Number of cubes in a clip."""
        t, h, w = self.grid
        return t * h * w

    @property
    def patch_dim(self) -> int:
        """Number of values in a cube."""
        return self.tubelet_size * self.patch_size**2 * ops.patches.CHANNELS

    @property
    def learned_positions(self) -> Mapping[str, Positions]:
        """Tables of learned positions by parameter path; empty if positions are computed."""
        return {}

    @property
    def computed_positions(self) -> str:
        """A description of the positions that are computed if none are learned."""
        return "fixed sine-cosine positions"

    def for_classes(self):
        """Return the spec for fine-tuning a pre-trained model as a classifier."""
        return self

    def differences(self, preset) -> dict[str, object]:
        """Return the fields, with their values, that differ from a preset's and have an effect."""
        fields = (field.name for field in dataclasses.fields(self))
        return {name: getattr(self, name) for name in fields if getattr(self, name) != getattr(preset, name)}

    @abc.abstractmethod
    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip through the encoder and the head."""

    def override(self, **fields) -> Self:
        """Copy the spec with a user's values for some fields.

        Raises:
          ConfigError: if one of the fields has no effect, and as in the constructor.
        """
        return dataclasses.replace(self, **fields)

    def check_clips(self, clips: Float[Array, "b t h w c"]) -> None:
        """Reject clips (b t h w c) whose shape differs from the model's.

        Raises:
          ConfigError: if the shape differs; the message names the options that would fit.
        """
        if clips.shape[1:] != self.clip_shape:
            given, wanted = ("x".join(map(str, shape)) for shape in (clips.shape[1:], self.clip_shape))
            raise ConfigError(
                f"clips of {given} (t h w c) do not fit a model built for {wanted}; "
                f"build it with num_frames={clips.shape[1]}, image_size={clips.shape[2:4]}"
            )


def check_sizes(spec: object) -> None:
    """Reject a spec, of a model or a text tower, with an integer in `SIZES` below 1 or in `DEPTHS` below 0."""
    for names, least in ((SIZES, 1), (DEPTHS, 0)):
        for name in names:
            value = getattr(spec, name, None)
            if isinstance(value, int) and value < least:
                raise ConfigError(f"{name}={value} must be at least {least}")


def check_multiple(what: str, value: int, divisor_name: str, divisor: int, key: str) -> None:
    """Reject a value that is not a positive multiple of the divisor, naming the nearest multiples."""
    if value < 1 or value % divisor:
        below = value // divisor * divisor
        remedy = f"{below} or {below + divisor}" if below > 0 else f"{divisor}"
        raise ConfigError(f"{what.format(value)} is not a multiple of {divisor_name}={divisor}; use {key}={remedy}")


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Reject a name that is not one of those allowed."""
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is unknown; choose one of {', '.join(allowed)}")


def check_heads(prefix: str, width: int, num_heads: int) -> None:
    """Reject a number of heads that does not divide the width, naming the nearest that do."""
    if num_heads < 1 or width % num_heads:
        key = f"{prefix}heads" if prefix else "num_heads"
        raise ConfigError(
            f"{prefix}width={width} is not a multiple of its {num_heads} attention heads; "
            f"use {key}={nearest_heads(width, num_heads)}"
        )


def nearest_heads(width: int, num_heads: int, multiple: int = 1) -> str:
    """Return the nearest numbers of heads, below and above, that divide the width and are multiples of `multiple`.

    Returns:
      text such as "4 or 8"; empty if there are none.
    """
    fitting = [heads for heads in range(multiple, width + 1, multiple) if width % heads == 0]
    below = [heads for heads in fitting if heads < num_heads][-1:]
    return " or ".join(map(str, below + [heads for heads in fitting if heads > num_heads][:1]))
