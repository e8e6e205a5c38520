"""Contrastive learning of videos and texts: each video against all texts of the global batch, and the other way round.

The sigmoid loss is that of SigLIP (Zhai et al. 2023, arXiv:2303.15343), the softmax loss that of CLIP (Radford et al.
2021, arXiv:2103.00020). With micro-batches, the training step computes all embeddings first and then propagates their
gradients back through one micro-batch at a time, as in GradCache (Gao et al. 2021, arXiv:2101.06983), which is exact.
"""

from __future__ import annotations

import dataclasses
import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, UInt8

from vidjax import ops
from vidjax.config import LoraConfig
from vidjax.models.lora import USUAL
from vidjax.models.video_text import VideoTextModel
from vidjax.objectives.base import Batch, Metrics, Params, Part, Rngs, StatisticalObjective, mean_over_valid
from vidjax.objectives.normalize import normalize
from vidjax.ops.mesh_axes import ROWS, free_axes

VIDEO, TEXT = "video", "text"  # subtrees of the towers
SCALE, BIAS = "logit_scale", "logit_bias"
_PRIMES = (1_000_003, 16_777_619)  # of the two hashes by which captions are compared
_EXACT = 2**24  # float32 holds all integers below it


@dataclasses.dataclass(frozen=True)
class Start:
    """The initial scale (inverse temperature) and bias of the logits, and the limit of the scale.

    Attributes:
      scale: factor on the similarities; its logarithm is learned.
      bias: added to the scaled similarities.
      most: the largest scale; infinite for no limit.
    """

    scale: float
    bias: float
    most: float


STARTS = {
    "sigmoid": Start(10.0, -10.0, math.inf),  # SigLIP, section 3.2; it has no limit
    "softmax": Start(1 / 0.07, 0.0, 100.0),  # CLIP, section 2.5
}


@dataclasses.dataclass(frozen=True)
class Contrastive(StatisticalObjective):
    """The loss of all pairs of a video and a text in the global batch.

    If two rows have captions with the same tokens, each caption also describes the other video. With
    `same_caption="positive"` such pairs are positive too, because calling them negative would contradict the data.
    "negative" is the published rule: the only positive of a row is its own caption.

    Attributes:
      module: the two towers.
      mean, std: per channel, for pixels in [0, 1]; they normalise the input of the video tower.
      loss_of: one of `LOSSES`.
      same_caption: how a pair of rows with equal captions counts: positive or negative.
      train_text: the trained parameters of the text tower: all, those of LoRA, or none. Projections are always trained.
      freeze_backbone: whether the video tower is frozen.
      lora: adapt the video tower and, with `train_text="lora"`, the text tower; None for no LoRA.
    """

    module: VideoTextModel
    mean: tuple[float, ...]
    std: tuple[float, ...]
    loss_of: str
    same_caption: str = "positive"
    train_text: str = "all"
    freeze_backbone: bool = dataclasses.field(default=False, kw_only=True)
    lora: LoraConfig | None = dataclasses.field(default=None, kw_only=True)

    freezable = True

    def __post_init__(self):
        if self.lora and self.train_text != "lora":
            targets = self.lora.targets or ("|".join(USUAL),)
            object.__setattr__(self, "lora", dataclasses.replace(self.lora, targets=tuple(map(_of_video, targets))))

    @property
    def frozen(self) -> str:
        """Pattern of the parameters that are not trained; empty for none."""
        held = [VIDEO] if self.freeze_backbone or self.lora else []
        held += [TEXT] if self.train_text != "all" else []
        return rf"^({'|'.join(held)})/" if held else ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The video tower, and the text tower."""
        return Part(VIDEO, self.module.spec.video), Part(TEXT, self.module.spec.text, "contrastive.text_from")

    @property
    def train_flops_per_clip(self) -> float:
        """FLOPs of the forward and backward pass of a clip and its caption.

        A frozen tower has no backward pass. With LoRA, gradients reach its activations but not its weights. The maps to
        the shared space are always trained.
        """
        spec = self.module.spec
        video_macs, text_macs = spec.video.classifier_macs(0), spec.text.macs
        video = 4.0 if self.lora else 2.0 if self.freeze_backbone else 6.0
        text = {"all": 6.0, "lora": 4.0, "none": 2.0}[self.train_text]
        return video * video_macs + text * text_macs + 6.0 * (spec.macs - video_macs - text_macs)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, dict]:
        """Return random parameters, with the published initial scale and bias; the batch is not used."""
        del batch
        spec, start = self.module.spec, STARTS[self.loss_of]
        clips = jnp.zeros((1, *spec.video.clip_shape))
        params = self.module.init(rng, clips, jnp.zeros((1, spec.text.context), jnp.int32))["params"]
        return {**params, SCALE: jnp.float32(math.log(start.scale)), BIAS: jnp.float32(start.bias)}, {}

    def statistics(self, params: Params, batch: Batch, rngs: Rngs, train: bool) -> dict[str, Array]:
        """Embed a (micro-)batch.

        The batch needs `video` (uint8), `tokens` (b n) and `valid`. Training also uses the rng stream "dropout".
        """
        options = {"train": train, "rngs": {"dropout": rngs["dropout"]} if train else None}
        text = self._apply(VideoTextModel.encode_text, params, batch["tokens"], **options)
        first, second = (_hash(batch["tokens"], prime) for prime in _PRIMES)
        return {
            "video": self._apply(VideoTextModel.encode_video, params, self.normalized(batch["video"]), **options),
            "text": text,
            "caption": jnp.stack([first, second], axis=-1),
            "valid": batch["valid"].astype(jnp.float32),
            "scale": params[SCALE],
            "bias": params[BIAS],
        }

    def loss_from(self, parts: dict[str, Array]) -> tuple[Float[Array, ""], Metrics]:
        """Compute the loss of a batch from the embeddings of its micro-batches, stacked on axis 0.

        The metrics are the scale, the bias, and `batch_r1`: the share of videos whose nearest caption in the batch
        describes them.
        """
        # Rows stay on their devices if the micro-batches become the second axis. Every device compares its own videos
        # with all texts, which are gathered together with their hashes and validity.
        rows = {
            name: jnp.moveaxis(parts[name], 0, 1).reshape(-1, *parts[name].shape[2:])
            for name in ("video", "text", "caption", "valid")
        }
        known = jnp.concatenate([rows["text"], rows["caption"], rows["valid"][:, None]], axis=1)
        everywhere = _on_every_device(known)
        text, caption, valid = everywhere[:, :-3], everywhere[:, -3:-1], everywhere[:, -1] > 0
        scale = jnp.exp(at_most(parts["scale"].mean(), math.log(STARTS[self.loss_of].most)))
        bias = parts["bias"].mean() if self.loss_of == "sigmoid" else jnp.float32(0)
        similar = ops.by_rows(
            jnp.einsum("ie,je->ij", ops.by_rows(rows["video"]), text, preferred_element_type=jnp.float32)
        )
        own = jnp.eye(len(text), dtype=bool)
        if self.same_caption == "positive":
            own |= (rows["caption"][:, None] == caption[None]).all(axis=-1)
        loss = LOSSES[self.loss_of](scale * similar + bias, own, valid)
        nearest = jnp.where(valid, similar, -jnp.inf).argmax(axis=1)
        found = jnp.take_along_axis(own, nearest[:, None], axis=1)[:, 0]
        return loss, {
            "scale": scale,
            "bias": bias,
            "batch_r1": mean_over_valid(found.astype(jnp.float32), rows["valid"] > 0),
        }

    def scores(self, params: Params, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b e"]:
        """Return the embeddings of clips, of length 1, without any randomness."""
        return self._apply(VideoTextModel.encode_video, params, self.normalized(clips))

    def embed_text(self, params: Params, tokens: Int[Array, "b n"]) -> Float[Array, "b e"]:
        """Return the embeddings of texts, of length 1, without any randomness."""
        return self._apply(VideoTextModel.encode_text, params, tokens)

    def normalized(self, clips: UInt8[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """Normalise clips."""
        return normalize(clips, self.mean, self.std)

    def _apply(self, method, params: Params, inputs: Array, train: bool = False, rngs: Rngs | None = None) -> Array:
        return nn.apply(method, self.module)({"params": params}, inputs, train=train, rngs=rngs)


def sigmoid_loss(
    logits: Float[Array, "b b"], positive: Bool[Array, "b b"], valid: Bool[Array, " b"]
) -> Float[Array, ""]:
    """Sum -log sigmoid(+-logit) over all pairs of valid rows, + for positive pairs, and divide by the number of rows.

    This is the loss of SigLIP, section 3.2: 1 / n times the sum over all n x n pairs.
    """
    losses = -jax.nn.log_sigmoid(jnp.where(positive, logits, -logits))
    counted = valid[:, None] & valid
    return jnp.where(counted, losses, 0.0).sum() / jnp.maximum(valid.sum(), 1)


def softmax_loss(
    logits: Float[Array, "b b"], positive: Bool[Array, "b b"], valid: Bool[Array, " b"]
) -> Float[Array, ""]:
    """Compute the mean of the cross-entropies of videos against texts and of texts against videos, over valid rows.

    A row with several positives has the target 1 / their number for each, as in UniCL (Yang et al. 2022).
    """
    return (_cross_entropy(logits, positive, valid, 1) + _cross_entropy(logits, positive, valid, 0)) / 2


def _cross_entropy(
    logits: Float[Array, "b b"], positive: Bool[Array, "b b"], valid: Bool[Array, " b"], axis: int
) -> Float[Array, ""]:
    """Compute the mean cross-entropy against uniform targets over the positives, with the classes along an axis."""
    counted = valid[:, None] & valid
    target = (positive & counted).astype(jnp.float32)
    mean = (target * logits).sum(axis=axis) / jnp.maximum(target.sum(axis=axis), 1.0)
    lowest = jnp.finfo(jnp.float32).min  # all logits of a padding row are masked; its loss must stay finite
    total = jax.nn.logsumexp(jnp.where(counted, logits, lowest), axis=axis)
    return mean_over_valid(total - mean, valid)


LOSSES = {"sigmoid": sigmoid_loss, "softmax": softmax_loss}


@jax.custom_vjp
def at_most(value: Float[Array, ""], limit: float) -> Float[Array, ""]:
    """Return the smaller of a value and a limit; a value above the limit still gets gradients that lower it.

    It clips the learned scale, as CLIP does. With a plain minimum, the scale would stay at the limit for ever.
    """
    return jnp.minimum(value, limit)


def _at_most_forward(value, limit):
    return at_most(value, limit), value >= limit


def _at_most_backward(reached, gradient):
    return jnp.where(reached & (gradient < 0), 0.0, gradient), None


at_most.defvjp(_at_most_forward, _at_most_backward)


def _on_every_device(x: Float[Array, "b e"]) -> Float[Array, "b e"]:
    """Gather the rows of an array on every device of the ambient mesh."""
    free = free_axes()
    divided = math.prod(free.get(name, 1) for name in ROWS) > 1
    return jax.lax.with_sharding_constraint(x, P()) if divided else x


def _hash(tokens: Int[Array, "b n"], prime: int) -> Float[Array, " b"]:
    """Return a number for each text, equal for equal tokens, as a float32 that holds it exactly."""
    found = jnp.zeros(len(tokens), jnp.uint32)
    for place in range(tokens.shape[1]):
        found = found * jnp.uint32(prime) + (tokens[:, place].astype(jnp.uint32) + 1)
        found ^= found >> 15
    return (found % _EXACT).astype(jnp.float32)


def _of_video(pattern: str) -> str:
    """Return a pattern that matches only in the video tower."""
    return rf"^(?={re.escape(VIDEO)}/)(?=.*(?:{pattern}))"
