"""TimeSformer: a ViT whose blocks attend over time, then over space (Bertasius et al. 2021, arXiv:2102.05095).

Two of the paper's other schemes are included: joint space-time attention, and attention within frames only. Details
follow the authors' code (`timesformer/models/vit.py`), because section 3 of the paper leaves some of them open.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange, repeat
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models import layers
from vidjax.models.classifier import ClipClassifier
from vidjax.models.family import Family
from vidjax.models.macs import transformer_macs
from vidjax.models.spec import ClipSpec, Positions, check_choice, check_heads
from vidjax.ops.attention.fused import kernel_on_tpu
from vidjax.ops.tpu import stored

ATTENTION_TYPES = ("divided", "joint", "space_only")
RESIZED_POSITIONS = {
    "grid": Positions("hw", ("nearest", "nearest")),
    "flattened": Positions("hw", ("nearest",), flat=True),
}


@dataclasses.dataclass(frozen=True)
class TimeSformerSpec(ClipSpec):
    """The shape of a TimeSformer; the fields of `ClipSpec` are keyword-only.

    Attributes:
      width, depth, num_heads, mlp_dim: size of the blocks.
      attention_type: divided (over time, then over space), joint (over all tokens) or space_only (within frames).
      resized_positions: how spatial positions from an image model or another resolution are adapted. `grid` takes the
        nearest position in height and width. `flattened` takes the nearest row of the flattened table, which gives most
        places the position of another part of the frame; the authors' high-resolution models were initialised in this
        way (`helpers.py:174`).
      init_std: standard deviation of initial kernels, class token and positions; the published 0.02 is meant for widths
        near 768.

    Raises:
      ConfigError: if the heads do not divide the width, for an unknown attention type or resizing, and as in
        `ClipSpec`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    attention_type: str = "divided"
    _: dataclasses.KW_ONLY
    tubelet_size: int = 1  # the original embeds frames one by one
    resized_positions: str = "grid"
    init_std: float = 0.02

    def __post_init__(self):
        super().__post_init__()
        check_heads("", self.width, self.num_heads)
        check_choice("attention_type", self.attention_type, ATTENTION_TYPES)
        check_choice("resized_positions", self.resized_positions, tuple(RESIZED_POSITIONS))

    @property
    def learned_positions(self) -> Mapping[str, Positions]:
        """See `ClipSpec`; tables are resized as in the authors' `vit.py` and `helpers.py`."""
        space = {"encoder/pos_embed": RESIZED_POSITIONS[self.resized_positions]}
        time = {"encoder/time_embed": Positions("t", ("nearest",))}
        return space if self.attention_type == "space_only" else space | time

    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip through the encoder and the head."""
        frames, tokens, d = self.grid[0], self.num_tokens, self.width
        in_frame = tokens // frames + 1
        if self.attention_type == "divided":
            over_time = tokens * (5 * d**2 + 2 * frames * d)  # four projections and temporal_fc
            over_space = frames * in_frame * (4 * d**2 + 2 * in_frame * d)
            blocks = self.depth * (over_time + over_space + 2 * (tokens + 1) * d * self.mlp_dim)
        elif self.attention_type == "joint":
            blocks = transformer_macs(tokens + 1, d, self.mlp_dim, self.depth)
        else:
            blocks = frames * transformer_macs(in_frame, d, self.mlp_dim, self.depth)
        return tokens * self.patch_dim * d + blocks + d * num_classes


def _sizes(width, depth, num_heads, **others) -> TimeSformerSpec:
    """Return a spec whose MLP is four times as wide as the model."""
    return TimeSformerSpec(width, depth, num_heads, 4 * width, **others)


# arXiv:2102.05095, section 4: the three models differ only in frames and resolution. tiny: for tests.
TIMESFORMER_SPECS = {
    "tiny": _sizes(96, 4, 4, patch_size=8, num_frames=8, image_size=64),
    "base": _sizes(768, 12, 12, num_frames=8),
    "hr": _sizes(768, 12, 12, num_frames=16, image_size=448),
    "large": _sizes(768, 12, 12, num_frames=96),
}


Tokens = Float[Array, "b t s d"]


class DividedBlock(nn.Module):
    """Attention over time at each place in the frame, then within each frame, then an MLP; written as a scan step.

    The class token takes no part in attention over time. Within frames, each frame sees a copy of it, and the updates
    of these copies are averaged. Stochastic depth drops places in attention over time (before `temporal_fc`, as in the
    authors' code), frames in attention within frames, and clips in the MLP.

    The first token of each frame is always its copy of the class token, and all copies stay equal. The authors' code
    instead separates the class token from the patches and joins them again three times per block, which moves every
    token in memory.
    """

    width: int
    num_heads: int
    mlp_dim: int
    norm_eps: float = 1e-6
    attention: str | None = None
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable = layers.normal_002

    def setup(self):
        norm = partial(layers.LayerNorm, self.norm_eps, dtype=self.dtype)
        attention = partial(
            layers.Attention, self.num_heads,
            implementation=self.attention, dtype=self.dtype, kernel_init=self.kernel_init,
        )  # fmt: skip
        self.temporal_norm = norm()
        self.temporal_attn = attention(attend=ops.attention_over_time)
        # Zero, so that a new block computes the same as an image model's block with the same weights.
        self.temporal_fc = layers.Linear(self.width, dtype=self.dtype, kernel_init=nn.initializers.zeros)
        self.norm1 = norm()
        self.attn = attention(attend=_within_frames)
        self.norm2 = norm()
        self.mlp = layers.MLP(self.mlp_dim, dtype=self.dtype, kernel_init=self.kernel_init)
        self.drop_places, self.drop_frames = layers.DropPath(axes=(0, 2)), layers.DropPath(axes=(0, 1))
        self.drop_clips = layers.DropPath()

    def __call__(self, x: Tokens | tuple[Tokens, ...], drop_path: Float[Array, ""] | None = None):
        """Return the tokens, and None as a scan step's output; the arrays of a tuple are processed separately."""
        if isinstance(x, tuple):
            return tuple(self._transformed(tokens, drop_path) for tokens in x), None
        return self._transformed(x, drop_path), None

    def _transformed(self, x: Tokens, drop_path: Float[Array, ""] | None) -> Tokens:
        x, is_class = stored(x), (jnp.arange(x.shape[2]) == 0)[:, None]
        y = self.drop_places(self.temporal_attn(self.temporal_norm(x)), drop_path)
        x = x + jnp.where(is_class, 0, self.temporal_fc(y))
        y = self.drop_frames(self.attn(self.norm1(x)), drop_path)
        of_class = y[:, :, :1].mean(axis=1, keepdims=True, dtype=jnp.float32).astype(y.dtype)
        x = x + jnp.where(is_class, of_class, y)
        return x + self.drop_clips(self.mlp(self.norm2(x)), drop_path)


def _within_frames(q, k, v, *, implementation=None):
    frames = (rearrange(x, "b t s h d -> (b t) s h d") for x in (q, k, v))
    attend = partial(ops.attention, implementation=implementation)
    if implementation is None:
        attend = partial(kernel_on_tpu, default=attend)
    return attend(*frames).reshape(q.shape)


def _with_class(cls, patches):
    """Put a copy of the class token in front of the patches of each frame."""
    copies = repeat(cls, "b 1 d -> b t 1 d", t=patches.shape[1])
    return jnp.concatenate([copies, patches], axis=2)


def _divided(blocks, cls, patches, rates):
    x, _ = blocks(_with_class(cls, patches), rates)
    return x[:, 0, :1], x[:, :, 1:]


def _joint(blocks, cls, patches, rates):
    tokens = jnp.concatenate([cls, rearrange(patches, "b t s d -> b (t s) d")], axis=1)
    tokens, _ = blocks(tokens, rates)
    return tokens[:, :1], rearrange(tokens[:, 1:], "b (t s) d -> b t s d", t=patches.shape[1])


def _space_only(blocks, cls, patches, rates):
    """Attend within frames; the frames' class tokens are averaged here, before the final norm."""
    b, t = patches.shape[:2]
    frames = rearrange(patches, "b t s d -> (b t) s d")
    frames, _ = blocks(jnp.concatenate([repeat(cls, "b 1 d -> (b t) 1 d", t=t), frames], axis=1), rates)
    frames = rearrange(frames, "(b t) s d -> b t s d", b=b)
    return frames[:, :, 0].mean(axis=1, keepdims=True, dtype=jnp.float32), frames[:, :, 1:]


_ATTEND = dict(zip(ATTENTION_TYPES, (_divided, _joint, _space_only), strict=True))


class TimeSformerEncoder(nn.Module):
    """Encode clips, of the spec's size or any other, to a class token and patch tokens."""

    spec: TimeSformerSpec

    def setup(self):
        s = self.spec
        t, h, w = s.grid
        self.patch_embed = layers.Linear(
            s.width, dtype=s.dtype, kernel_init=layers.torch_kernel, bias_init=layers.torch_bias(s.patch_dim)
        )
        init = nn.initializers.normal(s.init_std)
        self.cls_token = self.param("cls_token", init, (s.width,), jnp.float32)
        self.pos_embed = self.param("pos_embed", init, (1 + h * w, s.width), jnp.float32)
        if s.attention_type != "space_only":
            self.time_embed = self.param("time_embed", nn.initializers.zeros, (t, s.width), jnp.float32)
        options = {"norm_eps": s.norm_eps, "attention": s.attention, "dtype": jnp.dtype(s.dtype), "kernel_init": init}
        if s.attention_type == "divided":
            block, options = DividedBlock, options | {"width": s.width}
        else:
            block = layers.Block
        blocks = layers.stack_blocks(block, s.depth, unroll=s.unroll, remat=s.remat)
        self.blocks = blocks(num_heads=s.num_heads, mlp_dim=s.mlp_dim, **options)
        self.norm = layers.LayerNorm(s.norm_eps)

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Encode normalised clips of any length and size that the cubes tile; positions are resized to fit.

        Returns:
          cls (b d) float32; tokens (b n d), time first; both after the final norm.

        Raises:
          ConfigError: if the cubes do not tile the clips.
        """
        return self.from_patches(*self._cut(clips), train)

    def encode_groups(
        self, groups: Sequence[Float[Array, "b _ _ _ c"]], train: bool = False
    ) -> list[Float[Array, "b d"]]:
        """Return the class tokens of several groups of clips, each of any length and size.

        Divided attention takes all groups through one loop over the layers, which then reads the weights and writes
        their gradients once.
        """
        s = self.spec
        if s.attention_type != "divided":
            return [self(clips, train)["cls"] for clips in groups]
        tokens = tuple(_with_class(*self.embed_patches(*self._cut(clips))) for clips in groups)
        tokens, _ = self.blocks(tokens, layers.drop_path_rates(s.drop_path, s.depth, train))
        return [self.norm(x[:, 0, :1])[:, 0] for x in tokens]

    def _cut(self, clips):
        s = self.spec
        grid = dataclasses.replace(s, num_frames=clips.shape[1], image_size=clips.shape[2:4]).grid
        return ops.patchify(clips, s.tubelet_size, s.patch_size), grid

    def from_patches(
        self, patches: Float[Array, "b n p"], grid: tuple[int, int, int], train: bool = False
    ) -> dict[str, Array]:
        """Encode normalised cubes, flattened as by `ops.patchify`; `grid` counts them along t, h and w."""
        s = self.spec
        cls, patches = self.embed_patches(patches, grid)
        rates = layers.drop_path_rates(s.drop_path, s.depth, train)
        cls, patches = _ATTEND[s.attention_type](self.blocks, cls, patches, rates)
        tokens = self.norm(rearrange(patches, "b t s d -> b (t s) d")).astype(s.dtype)
        return {"tokens": tokens, "cls": self.norm(cls)[:, 0]}

    def embed_patches(
        self, patches: Float[Array, "b n p"], grid: tuple[int, int, int]
    ) -> tuple[Float[Array, "b 1 d"], Float[Array, "b t s d"]]:
        """Return the class token and the patches, with their positions, as input to the first block."""
        dtype, (t, h, w) = self.spec.dtype, grid
        space = self.pos_embed[1:].reshape(*self.spec.grid[1:], -1)
        space = ops.resize_nearest(space, (h, w)).reshape(h * w, -1).astype(dtype)
        x = rearrange(self.patch_embed(patches.astype(dtype)), "b (t s) d -> b t s d", t=t) + space
        if self.spec.attention_type != "space_only":
            x = x + ops.resize_nearest(self.time_embed, (t,)).astype(dtype)[:, None]
        cls = (self.cls_token + self.pos_embed[0]).astype(dtype)
        return repeat(cls, "d -> b 1 d", b=len(x)), x


class TimeSformerClassifier(ClipClassifier[TimeSformerSpec]):
    """The encoder and a linear head on its class token; `num_classes=0` omits the head.

    With attention within frames only, the frames' class tokens are averaged before the final norm, as in the authors'
    code; `transformers` does not average, and returns logits for each frame.
    """

    def setup(self):
        self.encoder = TimeSformerEncoder(self.spec)
        self.head = layers.Head(self.num_classes, self.spec.head_dropout, nn.initializers.normal(self.spec.init_std))

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Return the tokens, and the class token, which is the head's input."""
        out = self.encoder.from_patches(patches, self.spec.grid, train)
        return out | {"pooled": out["cls"]}


FAMILY = Family("TimeSformer", TIMESFORMER_SPECS, TimeSformerClassifier, heading="TimeSformer, and SVT's backbone")
