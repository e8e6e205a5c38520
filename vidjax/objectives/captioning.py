"""Captioning with teacher forcing: a GPT-2 predicts each token of a caption from those before it and from the video.

Source: "Video transformers for classification and captioning on Charades"; options of the module and `train_encoder`
select the paper's variants.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, UInt8

from vidjax.models.beam_search import Beams, beam_search
from vidjax.models.captioner import IGNORED, Captioner, shift_right
from vidjax.models.decoding import Prompt, greedy
from vidjax.models.gpt2 import GPT2Spec
from vidjax.models.outputs import outputs
from vidjax.objectives.base import Batch, Metrics, Objective, Params, Part, Rngs
from vidjax.objectives.normalize import normalize

FROZEN = {"none": r"^backbone/", "time_embed": r"^backbone/(?!(.*/)?time_embed$)", "all": ""}


@dataclasses.dataclass(frozen=True)
class Captioning(Objective):
    """Cross-entropy of captions, averaged over the tokens of a batch.

    Attributes:
      module: a backbone joined to a GPT-2.
      mean, std: per channel, for pixels in [0, 1]; they normalise the module's input.
      end_token: the token that opens and closes every caption.
      num_tokens: tokens per caption, including the end token.
      train_encoder: the part of the backbone that is trained: none, time_embed or all.
    """

    module: Captioner
    mean: tuple[float, ...]
    std: tuple[float, ...]
    end_token: int
    num_tokens: int
    train_encoder: str = "all"

    @property
    def frozen(self) -> str:
        """Pattern of the backbone's parameters that are not trained; empty for none."""
        return FROZEN[self.train_encoder]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The backbone, from a video model, and the decoder, from a language model."""
        backbone, decoder = self.module.backbone.spec, self.module.decoder.spec
        return Part("backbone", backbone), Part("decoder", decoder, "caption.decoder_from")

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass.

        A frozen backbone has no backward pass. With `train_encoder="time_embed"`, gradients reach its activations but
        not its other weights.
        """
        module, backbone = self.module, self.module.backbone.spec
        encoder = module.spec.num_clips * backbone.classifier_macs(0)
        states = module.spec.num_clips * (1 if module.spec.encoder_features == "pooled" else backbone.num_tokens)
        decoder = decoder_macs(module.decoder.spec, self.num_tokens, states)
        return {"none": 2.0, "time_embed": 4.0, "all": 6.0}[self.train_encoder] * encoder + 6.0 * decoder

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters and no further state; the batch is not used."""
        del batch
        clips = jnp.zeros((1, self.module.spec.num_clips, *self.module.backbone.spec.clip_shape))
        return self.module.init(rng, clips, jnp.zeros((1, 1), jnp.int32))["params"], {}

    def loss(
        self, params: Params, extra: Any, batch: Batch, rngs: Rngs, train: bool
    ) -> tuple[Float[Array, ""], tuple[Metrics, Any]]:
        """Compute the loss from `video` (uint8), `tokens` (b n) padded with -100, and `valid`.

        Training also uses the rng stream "dropout".
        """
        targets, clips = batch["tokens"], self._clips(batch["video"])
        inputs = shift_right(targets, self.end_token)
        apply_rngs = {"dropout": rngs["dropout"]} if train else None
        out = outputs(self.module, params, clips, inputs, train=train, rngs=apply_rngs)
        counts = self._counted(batch)
        nll, right = token_losses(out["logits"], targets)
        total = jnp.maximum(counts.sum(), 1)
        loss = jnp.where(counts, nll, 0.0).sum() / total
        return loss, ({"token_accuracy": (right & counts).sum() / total}, extra)

    def weight(self, batch: Batch) -> Array:
        """Return the number of tokens in the captions of valid rows."""
        return self._counted(batch).sum()

    def generate(
        self, params: Params, clips: UInt8[Array, "b t h w c"], *, beams: int = 1, length_penalty: float = 1.0
    ) -> dict[str, Array]:
        """Generate the best caption of each video; one beam is greedy decoding.

        Returns:
          tokens (b num_tokens), including the end token; scores (b), the captions' log-probabilities.
        """
        states = self.states(params, clips)
        prompt = Prompt(jnp.full((clips.shape[0], 1), self.end_token, jnp.int32), states)
        options = {"max_tokens": self.num_tokens, "eos": self.end_token}
        if beams == 1:
            texts = greedy(self.module.decoder, params["decoder"], prompt, **options)
            return {"tokens": texts["tokens"], "scores": texts["scores"]}
        texts = beam_search(self.module.decoder, params["decoder"], prompt, Beams(beams, length_penalty), **options)
        return {"tokens": texts["tokens"][:, 0], "scores": texts["scores"][:, 0]}

    def states(self, params: Params, video: UInt8[Array, "b t h w c"]) -> Float[Array, "b n d"]:
        """Return the states that the text attends to, from all clips of each video."""
        return nn.apply(Captioner.encode, self.module)({"params": params}, self._clips(video))

    def _counted(self, batch: Batch) -> Bool[Array, "b n"]:
        return (batch["tokens"] != IGNORED) & batch["valid"][:, None]

    def _clips(self, video: UInt8[Array, "b st h w c"]) -> Float[Array, "b s t h w c"]:
        """Cut a video's frames into its clips, which are stored one after another, and normalise them."""
        clips = rearrange(video, "b (s t) h w c -> b s t h w c", s=self.module.spec.num_clips)
        return normalize(clips, self.mean, self.std)


def token_losses(logits: Float[Array, "b n v"], targets: Int[Array, "b n"]) -> tuple[Float[Array, "b n"], Array]:
    """Return -log p of each target, and whether it has the highest logit; a target of -100 makes both meaningless."""
    safe = jnp.maximum(targets, 0)
    own = jnp.take_along_axis(logits, safe[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - own, logits.argmax(axis=-1) == safe


def decoder_macs(spec: GPT2Spec, tokens: int, states: int) -> int:
    """Count the multiply-accumulates of a text that attends to states, and of its logits (matrix products only)."""
    d = spec.width
    own = tokens * (4 * d**2 + 2 * d * spec.mlp_dim) + 2 * tokens**2 * d
    cross = 2 * (tokens + states) * d**2 + 2 * tokens * states * d
    return spec.depth * (own + cross) + tokens * d * spec.vocab_size
