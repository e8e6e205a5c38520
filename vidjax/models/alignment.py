"""What feature alignment trains and what it aligns to: a student of some tokens, a teacher of whole clips.

Unmasked Teacher (Li et al. 2023, arXiv:2303.16058, section 3) in the words of VideoMamba's code
(`video_sm/models/videomamba_pretrain.py` and `clip.py`), which its published weights were made with.
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
    """A linear layer, or two with a GELU between them, and a norm: from a student's channels to its teacher's.

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
    """An encoder of some tokens, and a decoder for each of its chosen blocks.

    Attributes:
      encoder: of a family whose `hidden` takes an `index`.
      features: channels of the teacher's features.
      decoder: one of `DECODERS`.
      class_token: whether the class token is aligned too; it is then the first.
      norm: whether the encoder's final norm comes before the decoders.
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
        """Predict the teacher's features of the visible tokens from what the k chosen blocks make of them.

        Args:
          patches: normalised visible cubes; index: their numbers, ascending.

        Returns:
          features, float32; n counts the class token, where there is one, and the v visible tokens.
        """
        out = self.encoder.hidden(patches, index, train, self.norm)
        x, first = out["tokens"], int(self.class_token)
        if self.class_token:
            x = jnp.concatenate([out["cls"][:, :, None], x], axis=2)
            index = with_class_token(index)
        # Fixed positions once more, for the decoder, as in VideoMamba's `forward`.
        x = x + ops.sincos_1d(self.spec.num_tokens + first, x.shape[-1])[index]
        return {"features": jnp.stack([decode(of_block) for decode, of_block in zip(self.decoders, x, strict=True)])}


class AlignmentTeacher(CompiledInit):
    """A frozen encoder of all tokens of a clip.

    Attributes:
      encoder: of a family with `hidden`.
      tubelet_size: of the student. A teacher of single frames sees the middle one of each of the student's cubes, which
        is what a kernel inflated around its centre makes of them (`inflate_weight` in the authors' `clip.py`).
      class_token: whether it gives its class token's features too; they are then the first.
      norm: whether its final norm comes before the features.
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
        """Look at a student's normalised clips, at the size that gives as many tokens.

        Returns:
          features (k b n e), float32; n counts the class token, where there is one, and all tokens; attention (b t n),
          of a teacher that has it: where the class token looks in each frame.
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
    """The fields of a teacher's spec with which it has a student's grid of tokens.

    Raises:
      ConfigError: when its cubes are of several frames, and not of as many as the student's.
    """
    if teacher.tubelet_size not in (1, student.tubelet_size):
        raise ConfigError(
            f"the teacher has cubes of {teacher.tubelet_size} frames and the student of {student.tubelet_size}; set "
            f"model.spec.tubelet_size={teacher.tubelet_size}, or take a teacher of single frames such as clip_base"
        )
    t, h, w = student.grid
    return {"num_frames": t * teacher.tubelet_size, "image_size": (h * teacher.patch_size, w * teacher.patch_size)}


def with_class_token(index: Int[Array, "b v"]) -> Int[Array, "b n"]:
    """The places of tokens numbered without a class token, where one comes before them all; its place is the first."""
    return jnp.concatenate([jnp.zeros_like(index[:, :1]), index + 1], axis=1)
