"""VideoMamba: bidirectional selective scans over all tokens of a clip (Li et al. 2024, arXiv:2403.06977).

The class token comes first, then the patches frame by frame. Details follow section 3 of the paper and the authors'
code (`video_sm/models/videomamba.py`, `mamba_ssm/modules/mamba_simple.py`), which keeps the residual stream in float32.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Float, Int

from vidjax.config.types import MayChange
from vidjax.errors import ConfigError
from vidjax.models import layers, mamba
from vidjax.models.classifier import ClipClassifier
from vidjax.models.family import Family
from vidjax.models.spec import ClipSpec, Positions, check_choice
from vidjax.ops.selective_scan import IMPLEMENTATIONS
from vidjax.ops.tpu import stored


@dataclasses.dataclass(frozen=True)
class VideoMambaSpec(ClipSpec):
    """The shape of a VideoMamba; the fields of `ClipSpec` are keyword-only.

    Attributes:
      width, depth: size of the blocks.
      expand: channels of a mixer per channel of the model.
      state_size: states per channel.
      conv_size: tokens that the causal convolution sees.
      merge_directions: "sum" of both scans, as published, or their "mean", for training that otherwise diverges.
      dt_bias_init: "zero" for step sizes that start at softplus(0) = 0.69, or "mamba" for initial step sizes that are
        log-uniform from 0.001 to 0.1. The published code intends "mamba" but trains with "zero", because its general
        initialiser overwrites the biases.
      scan: an implementation of `vidjax.ops.selective_scan`; None chooses one.
      init_std: standard deviation of initial kernels and positions; the published 0.02 is meant for widths near 768.

    Raises:
      ConfigError: for an unknown merge, initialiser or scan, if `attention` is set, and as in `ClipSpec`.
    """

    width: int
    depth: int
    _: dataclasses.KW_ONLY
    expand: int = 2
    state_size: int = 16
    conv_size: int = 4
    merge_directions: str = "sum"
    dt_bias_init: str = "zero"
    scan: MayChange[str | None] = None
    init_std: float = 0.02
    tubelet_size: int = 1
    num_frames: int = 8
    norm_eps: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        check_choice("merge_directions", self.merge_directions, tuple(mamba.MERGES))
        check_choice("dt_bias_init", self.dt_bias_init, tuple(mamba.DT_BIAS_INITS))
        if self.scan is not None:
            check_choice("scan", self.scan, tuple(IMPLEMENTATIONS))
        if self.attention is not None:
            raise ConfigError(
                f"attention={self.attention!r} does not apply to VideoMamba, which has a scan instead; leave "
                "attention empty"
            )

    @property
    def learned_positions(self) -> Mapping[str, Positions]:
        """See `ClipSpec`; tables are resized as in the authors' `run_class_finetuning.py`."""
        return {
            "encoder/pos_embed": Positions("hw", ("cubic", "cubic")),
            "encoder/time_embed": Positions("t", ("linear",)),
        }

    @property
    def inner(self) -> int:
        """Channels of a mixer."""
        return self.expand * self.width

    @property
    def dt_rank(self) -> int:
        """Channels from which the step sizes are projected."""
        return math.ceil(self.width / 16)

    def encoder_macs(self, num_tokens: int) -> int:
        """Multiply-accumulates of the encoder on `num_tokens` tokens of a clip; a scan takes 2 per state and token.

        Published figures leave out x_proj, dt_proj and the scan, which the authors' counter does not count.
        """
        x_proj, scan = self.dt_rank + 2 * self.state_size, 2 * self.state_size
        direction = self.conv_size + x_proj + self.dt_rank + scan
        mixer = self.inner * (3 * self.width + 2 * direction)
        return num_tokens * self.patch_dim * self.width + self.depth * (num_tokens + 1) * mixer

    def classifier_macs(self, num_classes: int) -> int:
        """Multiply-accumulates of one clip, with all its tokens, through the encoder and the head."""
        return self.encoder_macs(self.num_tokens) + self.width * num_classes


# arXiv:2403.06977, table 1, and the authors' model zoo for `base`. Their smallest, "Tiny", is `ti` here, because `tiny`
# is for tests in every family.
VIDEOMAMBA_SPECS = {
    "tiny": VideoMambaSpec(96, 4, patch_size=8, image_size=64),
    "ti": VideoMambaSpec(192, 24),
    "small": VideoMambaSpec(384, 24),
    "middle": VideoMambaSpec(576, 32),
    "base": VideoMambaSpec(768, 24),
}


class MambaBlock(nn.Module):
    """RMSNorm and mixer on a float32 residual stream, written as a scan step: returns (x, None)."""

    spec: VideoMambaSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], drop_path: Float[Array, ""] | None = None
    ) -> tuple[Float[Array, "b l d"], None]:
        x = stored(x, (1, 0, 2))  # the layout that the scan's kernels read
        y = layers.RMSNorm(self.spec.norm_eps, dtype=self.spec.dtype, name="norm")(x)
        y = layers.DropPath()(_mixer(self.spec)(y), drop_path)
        return x + y.astype(jnp.float32), None


class VideoMambaEncoder(nn.Module):
    """Encode cubes to a class token and patch tokens.

    Attributes:
      taps: indices of the blocks whose outputs `hidden` returns.
    """

    spec: VideoMambaSpec
    taps: tuple[int, ...] = ()
    takes_index, has_class_token, has_attention = True, True, False

    def setup(self):
        s = self.spec
        t, h, w = s.grid
        self.patch_embed = layers.Linear(
            s.width, dtype=s.dtype, kernel_init=layers.torch_kernel, bias_init=layers.torch_bias(s.patch_dim)
        )
        self.cls_token = self.param("cls_token", nn.initializers.zeros, (s.width,), jnp.float32)
        self.pos_embed = self.param("pos_embed", nn.initializers.normal(s.init_std), (1 + h * w, s.width), jnp.float32)
        self.time_embed = self.param("time_embed", nn.initializers.zeros, (t, s.width), jnp.float32)
        block = layers.tapped(MambaBlock) if self.taps else MambaBlock
        self.blocks = layers.stack_blocks(block, s.depth, unroll=s.unroll, remat=s.remat)(s)
        self.norm = nn.RMSNorm(s.norm_eps)

    @property
    def kernel_init(self) -> Callable:
        """The initialiser of the mixers' projections, except the last, and of layers added on top."""
        return nn.initializers.normal(self.spec.init_std)

    @property
    def out_dim(self) -> int:
        """Channels of the features that `hidden` returns."""
        return self.spec.width

    def embed_patches(
        self, patches: Float[Array, "b k p"], index: Int[Array, "b k"] | None = None
    ) -> Float[Array, "b l d"]:
        """Embed normalised patches: return the class token, then the patches, with their positions, in float32.

        Args:
          index: token indices of the patches; None for all, time first.
        """
        x = self.patch_embed(patches.astype(self.spec.dtype)).astype(jnp.float32)
        positions = rearrange(self.pos_embed[1:] + self.time_embed[:, None], "t n d -> (t n) d")
        x = x + (positions if index is None else positions[index])
        cls = repeat(self.cls_token + self.pos_embed[0], "d -> b 1 d", b=x.shape[0])
        return jnp.concatenate([cls, x], axis=1)

    def __call__(self, patches: Float[Array, "b n p"], train: bool = False) -> dict[str, Array]:
        """Encode normalised cubes, flattened as by `ops.patchify`.

        Returns:
          cls (b d) float32; tokens (b n d), time first; both after the final norm.
        """
        s = self.spec
        x, _ = self.blocks(self.embed_patches(patches), layers.drop_path_rates(s.drop_path, s.depth, train))
        x = self.norm(x)
        return {"tokens": x[:, 1:].astype(s.dtype), "cls": x[:, 0]}

    def hidden(
        self,
        patches: Float[Array, "b n p"],
        index: Int[Array, "b n"] | None = None,
        train: bool = False,
        norm: bool = True,
    ) -> dict[str, Float[Array, "k b *n d"]]:
        """Return the outputs of the blocks `taps` in float32; the scan leaves out tokens that are not in `index`.

        Args:
          patches: normalised cubes, in ascending order of their token indices.
          index: token indices of the patches; None for all.
          norm: whether to apply the encoder's final norm to the outputs of every block.

        Returns:
          tokens (k b n d) and cls (k b d) of the k blocks.
        """
        s = self.spec
        rates = layers.drop_path_rates(s.drop_path, s.depth, train)
        x, _ = layers.run_tapped(self.blocks, self.embed_patches(patches, index), rates, self.taps, s.depth)
        x = self.norm(x) if norm else x
        return {"tokens": x[:, :, 1:], "cls": x[:, :, 0]}


class VideoMambaClassifier(ClipClassifier[VideoMambaSpec]):
    """The encoder and a linear head on its class token; `num_classes=0` omits the head."""

    def setup(self):
        self.encoder = VideoMambaEncoder(self.spec)
        self.head = layers.Head(self.num_classes, self.spec.head_dropout, nn.initializers.normal(self.spec.init_std))

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Return the tokens, and the class token, which is the head's input."""
        out = self.encoder(patches, train)
        return out | {"pooled": out["cls"]}


def _mixer(spec: VideoMambaSpec) -> mamba.Mixer:
    """Build a block's mixer; as in GPT-2, deeper models have smaller initial outputs of residual branches."""
    names = ("inner", "dt_rank", "state_size", "conv_size", "merge_directions", "dt_bias_init", "scan", "init_std")
    options = {name: getattr(spec, name) for name in names}
    return mamba.Mixer(**options, out_scale=spec.depth**-0.5, dtype=jnp.dtype(spec.dtype), name="mixer")


FAMILY = Family("VideoMamba", VIDEOMAMBA_SPECS, VideoMambaClassifier, encoder=VideoMambaEncoder)
