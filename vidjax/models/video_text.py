"""A video tower and a text tower whose outputs share a space, so that texts can retrieve videos (arXiv:2103.00020)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax.errors import ConfigError, nearest
from vidjax.models import layers
from vidjax.models.clip import CLIPVisionSpec
from vidjax.models.clip_text import CLIP_TEXT_SPECS
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.presets import FAMILIES, build_model, family_of
from vidjax.models.spec import ClipSpec
from vidjax.models.text_tower import TextTowerSpec
from vidjax.models.videoprism import VideoPrismHead, VideoPrismSpec, head_macs
from vidjax.models.videoprism_text import VIDEOPRISM_TEXT_SPECS, VideoPrismTextSpec

TEXT_SPECS: Mapping[str, TextTowerSpec] = {**CLIP_TEXT_SPECS, **VIDEOPRISM_TEXT_SPECS}
AUXILIARY = 2  # blocks of VideoPrism's head, in the authors' models.py
SCALE = 1 / 0.07  # the initial factor on similarities, section 2.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoTextSpec:
    """The shape of a model of videos and texts.

    Attributes:
      family: the video tower's family, a name in `vidjax.models.FAMILIES`.
      video: the video tower's spec.
      text: the text tower's spec.
      projection: channels of the shared space, to which a linear map takes the pooled output of each tower.
      scale, bias: initial factor on the similarities of videos and texts, and initial bias added to the product.
      auxiliary: number of blocks of VideoPrism's own head (`VideoPrismHead`), which replaces both linear maps and needs
        two VideoPrism towers of equal width; None for the linear maps.

    Raises:
      ConfigError: if `projection` is below 1, if `scale` is not above 0, or if `auxiliary` is set and the towers or
        `projection` do not fit it.
    """

    family: str
    video: ClipSpec
    text: TextTowerSpec
    projection: int
    scale: float = SCALE
    bias: float = 0.0
    auxiliary: int | None = None

    def __post_init__(self):
        if self.auxiliary is not None:
            width = self.text.width
            if not _alike(self.video, self.text):
                towers = (f"{type(of).__name__} of width {getattr(of, 'width', '?')}" for of in (self.video, self.text))
                raise ConfigError(
                    f"auxiliary={self.auxiliary} selects VideoPrism's head, which needs a VideoPrismSpec and a "
                    f"VideoPrismTextSpec of the same width; the towers are a {' and a '.join(towers)}: leave auxiliary "
                    "out"
                )
            if self.projection != width:
                raise ConfigError(
                    f"projection={self.projection} has no effect on two towers of VideoPrism, whose {width} channels "
                    f"are the shared space; use projection={width}"
                )
        if self.projection < 1:
            raise ConfigError(f"projection={self.projection} must be at least 1")
        if self.scale <= 0:
            raise ConfigError(f"scale={self.scale:g} must be above 0")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one clip and one text of the maximum length."""
        return self.video_macs + self.text.macs + (self.text.width * self.projection if self.auxiliary is None else 0)

    @property
    def video_macs(self) -> int:
        """Multiply-accumulates of embedding one clip."""
        if isinstance(self.video, VideoPrismSpec) and self.auxiliary is not None:
            return self.video.encoder_macs() + head_macs(self.video, self.auxiliary)
        return self.video.classifier_macs(0) + cast(Any, self.video).width * self.projection


class VideoTextModel(CompiledInit):
    """Embed clips and texts in one space.

    Parameters: `video` and `text`, those of the towers alone; `video_projection` and `text_projection`, from the towers
    to the shared space (only the first for VideoPrism's own head); `logit_scale`, the logarithm of the factor on
    similarities; and `logit_bias`.
    """

    spec: VideoTextSpec

    def setup(self):
        s = self.spec
        self.video = FAMILIES.find(s.family).classifier(s.video, 0)
        self.text = s.text.build()
        if isinstance(s.video, VideoPrismSpec) and s.auxiliary is not None:
            self.video_projection = VideoPrismHead(s.video, s.auxiliary)
        else:
            self.video_projection, self.text_projection = _to_shared(s), _to_shared(s)
        self.logit_scale = self.param("logit_scale", nn.initializers.constant(math.log(s.scale)), (), jnp.float32)
        self.logit_bias = self.param("logit_bias", nn.initializers.constant(s.bias), (), jnp.float32)

    def __call__(
        self, clips: Float[Array, "b t h w c"], tokens: Int[Array, "m n"], train: bool = False
    ) -> dict[str, Array]:
        """Embed normalised clips and texts.

        Returns:
          video (b e) and text (m e), float32 of unit length; logit_scale () and logit_bias (): a logit is
          logit_scale * video . text + logit_bias.
        """
        return {
            "video": self.encode_video(clips, train),
            "text": self.encode_text(tokens, train),
            "logit_scale": jnp.exp(self.logit_scale),
            "logit_bias": self.logit_bias,
        }

    def encode_video(self, clips: Float[Array, "b t h w c"], train: bool = False) -> Float[Array, "b e"]:
        """Embed normalised clips, in float32 and with unit length."""
        return self.video_outputs(clips, train)["embedding"]

    def encode_text(self, tokens: Int[Array, "b n"], train: bool = False) -> Float[Array, "b e"]:
        """Embed texts, in float32 and with unit length."""
        pooled = self.text(tokens, train)["pooled"]
        return unit(self.text_projection(pooled) if self.spec.auxiliary is None else pooled)

    def video_outputs(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Return the video tower's outputs, `projected` (b e) and, with unit length, `embedding` (b e)."""
        out = self.video(clips, train)
        projected = self.video_projection(out["pooled" if self.spec.auxiliary is None else "tokens"])
        return out | {"projected": projected, "embedding": unit(projected)}


def unit(x: Float[Array, "*b e"]) -> Float[Array, "*b e"]:
    """Scale vectors to unit length in float32."""
    x = x.astype(jnp.float32)
    return x / jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


def build_video_text(
    name: str,
    *,
    text: str = "clip_tiny",
    projection: int = 64,
    text_options: Mapping[str, Any] | None = None,
    scale: float = SCALE,
    bias: float = 0.0,
    **overrides: Any,
) -> VideoTextModel:
    """Build a model of videos and texts from the presets of two towers, not yet initialised.

    Args:
      name: the video tower, as in `vidjax.build_model`.
      text: the text tower, a key of `TEXT_SPECS`.
      projection, scale, bias: as in `VideoTextSpec`. Two towers of VideoPrism with the same width get VideoPrism's own
        head, and `projection` must be that width.
      text_options: fields of the text tower's spec, such as `vocab_size` and `context`.
      overrides: fields of the video tower's spec. `dtype`, `remat`, `unroll` and `attention` also hold for the text
        tower.

    Raises:
      ConfigError: for an unknown name or field, or values that do not fit together.

    Example:
      >>> from vidjax.models.video_text import build_video_text
      >>> model = build_video_text("videomae_tiny", text="clip_tiny", projection=32, text_options={"vocab_size": 100})
      >>> clips, tokens = jnp.zeros((2, 8, 64, 64, 3)), jnp.full((3, 5), 99)
      >>> variables = jax.jit(model.init)(jax.random.key(0), clips, tokens)
      >>> {name: array.shape for name, array in model.apply(variables, clips, tokens).items()}
      {'logit_bias': (), 'logit_scale': (), 'text': (3, 32), 'video': (2, 32)}
    """
    if text not in TEXT_SPECS:
        raise ConfigError(f"text tower {text!r} is unknown; {nearest(text, tuple(TEXT_SPECS))}")
    tower, options = TEXT_SPECS[text], dict(text_options or {})
    known = {field.name for field in dataclasses.fields(tower)}
    for option in options:
        if option not in known:
            raise ConfigError(f"the text tower {text} has no option {option!r}; {nearest(option, tuple(known))}")
    shared = {key: overrides[key] for key in ("dtype", "remat", "unroll", "attention") if key in overrides}
    video = build_model(name, num_classes=0, **overrides).spec
    if isinstance(video, CLIPVisionSpec) and "projection" not in overrides:
        video = dataclasses.replace(video, projection=0)  # the map to the shared space is not part of the tower
    tower = dataclasses.replace(tower, **shared | options)
    spec = VideoTextSpec(
        family=family_of(name)[0], video=video, text=tower, projection=projection, scale=scale, bias=bias,
        auxiliary=AUXILIARY if _alike(video, tower) else None,
    )  # fmt: skip
    return VideoTextModel(spec)


def _alike(video: ClipSpec, text: TextTowerSpec) -> bool:
    """Whether both towers are VideoPrism's and equally wide."""
    return isinstance(video, VideoPrismSpec) and isinstance(text, VideoPrismTextSpec) and video.width == text.width


def _to_shared(spec: VideoTextSpec) -> nn.Module:
    return layers.Linear(
        spec.projection, use_bias=False, kernel_init=nn.initializers.variance_scaling(1, "fan_in", "normal")
    )
