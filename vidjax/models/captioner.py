"""A captioner: a backbone of any family in `vidjax.models.FAMILIES`, and a GPT-2 that attends to its states.

To write captions, compute `states = captioner.apply({"params": params}, clips, method="encode")`, then call `greedy`,
`sample` or `beam_search` with `captioner.decoder`, `params["decoder"]` and these states.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Int

from vidjax.errors import ConfigError
from vidjax.models import layers
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.gpt2 import GPT2
from vidjax.models.spec import check_choice

IGNORED = -100  # the target of positions that the loss skips


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptionerSpec:
    """How a captioner computes the states that the text attends to.

    Attributes:
      encoder_features: "pooled", the one vector per clip that a classifier's head would see, such as the class token;
        or "tokens", all states of the last layer, with any class token first.
      mapper: whether a linear layer maps the states to the text's width even if the widths are equal; if they differ,
        there is always such a layer.
      num_clips: clips per video; their states are concatenated.
      encoder_dropout: whether dropout and drop path also apply to the backbone in training; False for a frozen
        backbone.

    Raises:
      ConfigError: for unknown features, or `num_clips` below 1.
    """

    encoder_features: str = "tokens"
    mapper: bool = False
    num_clips: int = 1
    encoder_dropout: bool = True

    def __post_init__(self):
        check_choice("encoder_features", self.encoder_features, FEATURES)
        if self.num_clips < 1:
            raise ConfigError(f"num_clips={self.num_clips} must be at least 1")


class Captioner(CompiledInit):
    """A backbone joined to a GPT-2; its parameters are `backbone`, `decoder` and, with a mapper, `enc_to_dec_proj`.

    Attributes:
      backbone: a classifier built with num_classes=0.
      decoder: a language model with cross-attention. The output of the cross-attention starts at zero, so that a
        captioner of pre-trained parts begins as the pre-trained language model.
    """

    backbone: nn.Module
    decoder: GPT2
    spec: CaptionerSpec

    def __call__(
        self, clips: Float[Array, "b *s t h w c"], tokens: Int[Array, "b n"], train: bool = False
    ) -> dict[str, Array]:
        """Predict the next token at each position of the captions, given their videos.

        Args:
          clips: normalised clips (b s t h w c) with s = num_clips, or (b t h w c) if num_clips is 1.
          tokens: the captions' tokens, shifted by `shift_right`.

        Returns:
          logits (b n v): float32, for the next token at each position; hidden (b n d): the decoder's last states;
          states (b m d): the backbone's states that the decoder attends to.

        Raises:
          ConfigError: for clips of the wrong shape or number, and for parts that do not fit together.
        """
        states = self.encode(clips, train)
        return self.decoder(tokens, states, train=train) | {"states": states}

    @nn.compact
    def encode(self, clips: Float[Array, "b *s t h w c"], train: bool = False) -> Float[Array, "b m d"]:
        """Encode clips to the states that the text attends to, projected to the text's width if necessary."""
        s, width = self.spec, self.decoder.spec.width
        self._check_parts()
        clips = self._check_clips(clips)
        b = clips.shape[0]
        clips = rearrange(clips, "b s t h w c -> (b s) t h w c")
        out = self.backbone(clips, train=train and s.encoder_dropout)
        states = FEATURES[s.encoder_features](out).astype(self.decoder.spec.dtype)
        states = rearrange(states, "(b s) m d -> b (s m) d", b=b)
        if s.mapper or states.shape[-1] != width:
            bias_init = layers.torch_bias(states.shape[-1])
            states = layers.Linear(
                width, dtype=states.dtype, kernel_init=layers.torch_kernel, bias_init=bias_init, name="enc_to_dec_proj"
            )(states)
        return states

    def _check_parts(self):
        if self.backbone.num_classes:
            raise ConfigError(
                f"a captioner needs a backbone without a head, not a classifier with {self.backbone.num_classes} "
                "classes; build or load it with num_classes=0"
            )
        if not self.decoder.spec.cross_attention:
            raise ConfigError(
                "a captioner needs a language model with cross-attention; build one with cross_attention=True, or "
                "add cross-attention to a loaded one with vidjax.weights.families.gpt2.with_cross_attention"
            )

    def _check_clips(self, clips):
        num_clips = self.spec.num_clips
        clips = clips[:, None] if clips.ndim == 5 else clips
        if clips.shape[1] != num_clips:
            raise ConfigError(
                f"{clips.shape[1]} clips per video, but the captioner has num_clips={num_clips}; give clips of shape "
                f"(b {num_clips} t h w c)"
            )
        return clips


def join(captioner: Captioner, backbone_params: dict, decoder_params: dict, rng: Array) -> dict:
    """Join the parameters of a captioner's parts; `rng` initialises the mapper, if there is one.

    Raises:
      ConfigError: as in `Captioner.__call__`.
    """
    clip_shape, s = captioner.backbone.spec.clip_shape, captioner.spec

    @jax.jit
    def between(rng):
        clips = jnp.zeros((1, s.num_clips, *clip_shape))
        params = captioner.init(rng, clips, jnp.zeros((1, 1), jnp.int32))["params"]
        return {name: leaves for name, leaves in params.items() if name not in ("backbone", "decoder")}

    return {"backbone": backbone_params, "decoder": decoder_params} | between(rng)


def shift_right(targets: Int[Array, "b n"], bos: int) -> Int[Array, "b n"]:
    """Return the decoder's input for these targets: `bos`, then all targets except the last.

    Targets of -100, which the loss skips, become `bos` too. If they pad the end of a text, no position of the text
    attends to them.
    """
    tokens = jnp.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=bos)
    return jnp.where(tokens == IGNORED, bos, tokens)


def _all_states(out: dict[str, Array]) -> Float[Array, "b m d"]:
    tokens = out["tokens"]
    return jnp.concatenate([out["cls"][:, None].astype(tokens.dtype), tokens], axis=1) if "cls" in out else tokens


# The choices of caption.encoder_features.
FEATURES = {"pooled": lambda out: out["pooled"][:, None], "tokens": _all_states}
