"""Feature alignment: a student that encodes some of the tokens, and a frozen teacher that encodes whole clips.

This is Unmasked Teacher (Li et al. 2023, arXiv:2303.16058, section 3) as VideoMamba's authors implement it for their
published weights (`video_sm/models/videomamba_pretrain.py` and `clip.py`).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vidjax import ops
from vidjax.errors import ConfigError
from vidjax.models import layers
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.spec import ClipSpec

DECODERS = ("linear", "mlp")


class AlignmentDecoder(nn.Module):
    """Map a student's channels to its teacher's: one linear layer, or two with a GELU between them, then a norm.

    Attributes:
      kind: one of `DECODERS`.
    """

    kind: str
    features: int
    norm_eps: float
    dtype: Any
    kernel_init: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n e"]:
        if self.kind == "mlp":
            x = layers.gelu(layers.Dense(x.shape[-1], self.dtype, self.kernel_init, name="fc")(x))
        x = layers.Dense(self.features, self.dtype, self.kernel_init, name="head")(x)
        return layers.LayerNorm(self.norm_eps, name="norm")(x)


class AlignmentStudent(CompiledInit):
    """An encoder of the visible tokens, with one decoder for each of its tapped blocks.

    Attributes:
      encoder: a family's encoder; its method `hidden` must take an `index`.
      features: channels of the teacher's features.
      decoder: one of `DECODERS`.
      class_token: whether the class token is aligned too; if so, it comes first.
      norm: whether the encoder's final norm is applied before the decoders.
    """

    encoder: nn.Module
    features: int
    decoder: str = "linear"
    class_token: bool = True
    norm: bool = True

    def setup(self):
        s, encoder = self.spec, self.encoder
        sizes = self.decoder, self.features, s.norm_eps, jnp.dtype(s.dtype), encoder.kernel_init
        self.decoders = [AlignmentDecoder(*sizes) for _ in encoder.taps]

    @property
    def spec(self) -> Any:
        """The encoder's spec: a `ClipSpec` with a `depth` and `encoder_macs`."""
        return self.encoder.spec

    def __call__(
        self, patches: Float[Array, "b v p"], index: Int[Array, "b v"], train: bool = False
    ) -> dict[str, Float[Array, "k b n e"]]:
        """Predict the teacher's features of the visible tokens from the outputs of the k tapped blocks.

        Args:
          patches: normalised visible cubes.
          index: token indices of the cubes, ascending.

        Returns:
          features, float32; n counts the v visible tokens and, if it is aligned, the class token.
        """
        out = self.encoder.hidden(patches, index, train, self.norm)
        x, first = out["tokens"], int(self.class_token)
        if self.class_token:
            x = jnp.concatenate([out["cls"][:, :, None], x], axis=2)
            index = with_class_token(index)
        # The decoders get their own fixed positions, as in VideoMamba's `forward`.
        x = x + ops.sincos_1d(self.spec.num_tokens + first, x.shape[-1])[index]
        return {"features": jnp.stack([decode(of_block) for decode, of_block in zip(self.decoders, x, strict=True)])}


class AlignmentTeacher(CompiledInit):
    """A frozen encoder of all tokens of a clip.

    Attributes:
      encoder: a family's encoder, with a method `hidden`.
      tubelet_size: the student's tubelet_size. A teacher of single frames sees the middle frame of each of the
        student's cubes, the only frame that a kernel inflated around its centre would see (`inflate_weight` in the
        authors' `clip.py`).
      class_token: whether to return the class token's features too; if so, they come first.
      norm: whether to apply the encoder's final norm.
    """

    encoder: nn.Module
    tubelet_size: int
    class_token: bool = True
    norm: bool = True

    @property
    def spec(self) -> Any:
        """The encoder's spec: a `ClipSpec` with a `depth` and `encoder_macs`."""
        return self.encoder.spec

    def __call__(self, clips: Float[Array, "b t h w c"]) -> dict[str, Array]:
        """Encode a student's normalised clips, resized so that teacher and student have the same grid of tokens.

        Returns:
          features (k b n e), float32; n counts all tokens and, if it is returned, the class token. If the encoder
          provides it, also attention (b t n) from the class token to the patches of each frame.
        """
        s = self.spec
        if s.tubelet_size != self.tubelet_size:
            clips = clips[:, self.tubelet_size // 2 :: self.tubelet_size]
        clips = ops.resize_cubic(clips, s.frame_size)
        out = self.encoder.hidden(ops.patchify(clips, s.tubelet_size, s.patch_size), norm=self.norm)
        features = out["tokens"]
        if self.class_token:
            features = jnp.concatenate([out["cls"][:, :, None], features], axis=2)
        return {"features": features} | ({"attention": out["attention"]} if "attention" in out else {})


def match_teacher(student: ClipSpec, teacher: ClipSpec) -> dict[str, Any]:
    """Return the spec fields that give a teacher the student's grid of tokens.

    Raises:
      ConfigError: if the teacher's cubes span several frames, but not as many as the student's.
    """
    if teacher.tubelet_size not in (1, student.tubelet_size):
        raise ConfigError(
            f"the teacher's cubes span {teacher.tubelet_size} frames, the student's {student.tubelet_size}; set "
            f"model.spec.tubelet_size={teacher.tubelet_size}, or use a teacher of single frames such as clip_base"
        )
    t, h, w = student.grid
    return {"num_frames": t * teacher.tubelet_size, "image_size": (h * teacher.patch_size, w * teacher.patch_size)}


def with_class_token(index: Int[Array, "b v"]) -> Int[Array, "b n"]:
    """Shift token indices by one for a class token in front of all tokens, and prepend its index, 0."""
    return jnp.concatenate([jnp.zeros_like(index[:, :1]), index + 1], axis=1)
