"""A captioner: any backbone of `vidjax.models.FAMILIES`, whose states a GPT-2 looks at while it writes.

To write captions: `states = captioner.apply({"params": params}, clips, method="encode")`, then one of `greedy`,
`sample` and `beam_search` with `captioner.decoder`, `params["decoder"]` and these states.
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

IGNORED = -100  # the target of a position that no loss is taken at


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptionerSpec:
    """What of the video the text looks at.

    Attributes:
      encoder_features: "pooled", the one vector of a clip that a classifier's head would see (the class token, where
        there is one); or "tokens", all states of the last layer, the class token first where there is one.
      mapper: whether a linear layer stands between the two even if they are equally wide; if not, there is one anyway.
      num_clips: of a video; their states are put behind one another.
      encoder_dropout: whether training drops units and paths of the backbone too; not where it is frozen.

    Raises:
      ConfigError: for features that there are not, or no clip.
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
    """The two joined; parameters `backbone`, `decoder` and, if there is such a layer, `enc_to_dec_proj`.

    Attributes:
      backbone: built with num_classes=0; decoder: with cross-attention, whose output starts at zero, so that a
        captioner of pre-trained parts begins as the language model that it was given.
    """

    backbone: nn.Module
    decoder: GPT2
    spec: CaptionerSpec

    def __call__(
        self, clips: Float[Array, "b *s t h w c"], tokens: Int[Array, "b n"], train: bool = False
    ) -> dict[str, Array]:
        """Read captions while looking at their videos.

        Args:
          clips: normalised, (b t h w c), or (b s t h w c) with s = num_clips.
          tokens: of the captions, as `shift_right` makes them of targets.

        Returns:
          logits (b n v): float32, of the token after each; hidden (b n d): the decoder's; states (b m d): what it saw.

        Raises:
          ConfigError: for clips of another shape or number, and for parts that do not fit each other.
        """
        states = self.encode(clips, train)
        return self.decoder(tokens, states, train=train) | {"states": states}

    @nn.compact
    def encode(self, clips: Float[Array, "b *s t h w c"], train: bool = False) -> Float[Array, "b m d"]:
        """What the text may look at, as wide as the text."""
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
                f"a captioner looks at a backbone without a head, not at a classifier of {self.backbone.num_classes} "
                "classes; build or load it with num_classes=0"
            )
        if not self.decoder.spec.cross_attention:
            raise ConfigError(
                "a captioner needs a language model with cross-attention; build it with cross_attention=True, or give "
                "it to a loaded one with vidjax.weights.families.gpt2.with_cross_attention"
            )

    def _check_clips(self, clips):
        num_clips = self.spec.num_clips
        clips = clips[:, None] if clips.ndim == 5 else clips
        if clips.shape[1] != num_clips:
            raise ConfigError(
                f"{clips.shape[1]} clips a video for a captioner of num_clips={num_clips}; give (b {num_clips} t h w c)"
            )
        return clips


def join(captioner: Captioner, backbone_params: dict, decoder_params: dict, rng: Array) -> dict:
    """The parameters of a captioner whose parts are pre-trained; `rng` is for the layer between them, if there is one.

    Raises:
      ConfigError: as the captioner's call.
    """
    clip_shape, s = captioner.backbone.spec.clip_shape, captioner.spec

    @jax.jit
    def between(rng):
        clips = jnp.zeros((1, s.num_clips, *clip_shape))
        params = captioner.init(rng, clips, jnp.zeros((1, 1), jnp.int32))["params"]
        return {name: leaves for name, leaves in params.items() if name not in ("backbone", "decoder")}

    return {"backbone": backbone_params, "decoder": decoder_params} | between(rng)


def shift_right(targets: Int[Array, "b n"], bos: int) -> Int[Array, "b n"]:
    """What to read in order to predict the targets: `bos`, then all of them but the last.

    Targets of -100, at which no loss is taken, are read as `bos` too; no other position looks at those behind a text.
    """
    tokens = jnp.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=bos)
    return jnp.where(tokens == IGNORED, bos, tokens)


def _all_states(out: dict[str, Array]) -> Float[Array, "b m d"]:
    tokens = out["tokens"]
    return jnp.concatenate([out["cls"][:, None].astype(tokens.dtype), tokens], axis=1) if "cls" in out else tokens


# The choices of caption.encoder_features.
FEATURES = {"pooled": lambda out: out["pooled"][:, None], "tokens": _all_states}
