"""The model of self-distillation: a TimeSformer encoder with a projection head (DINO, arXiv:2104.14294, section 3)."""

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax.models import layers
from vidjax.models.timesformer import TimeSformerEncoder, TimeSformerSpec


class ProjectionHead(nn.Module):
    """Three dense layers with GELUs between them, then the cosines of the result with learned prototypes.

    The cosines are the weight-normalised layer of the authors' `DINOHead` with its gain frozen at 1
    (`norm_last_layer`). The columns of `last_layer/kernel` are the prototypes; their lengths do not matter.
    """

    prototypes: int
    hidden_dim: int = 2048
    bottleneck_dim: int = 256
    dtype: DTypeLike = jnp.float32

    def setup(self):
        dense = {"dtype": self.dtype, "kernel_init": layers.normal_002}
        self.fc1 = layers.Linear(self.hidden_dim, **dense)
        self.fc2 = layers.Linear(self.hidden_dim, **dense)
        self.fc3 = layers.Linear(self.bottleneck_dim, **dense)
        self.last_layer = Cosines(self.prototypes, self.dtype)

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b k"]:
        """Return the cosines with the k prototypes, in [-1, 1], float32."""
        x = nn.gelu(self.fc1(x), approximate=False)
        x = nn.gelu(self.fc2(x), approximate=False)
        return self.last_layer(self.fc3(x))


class Cosines(nn.Module):
    """Cosine similarity of a vector and each column of a kernel."""

    features: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b k"]:
        kernel = self.param("kernel", layers.torch_kernel, (x.shape[-1], self.features), jnp.float32)
        x, kernel = unit(x, axis=-1).astype(self.dtype), unit(kernel, axis=0).astype(self.dtype)
        return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)


def unit(x: Float[Array, "*dims"], axis: int) -> Float[Array, "*dims"]:
    """Scale vectors along an axis to length 1, in float32; a zero vector stays zero."""
    x = x.astype(jnp.float32)
    # As in PyTorch, the divisor is at least 1e-12. Limiting its square keeps the gradient finite at 0.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=axis, keepdims=True), 1e-24))


class ProjectedTimeSformer(nn.Module):
    """An encoder for views of any length and size, and a head on its class token."""

    spec: TimeSformerSpec
    prototypes: int
    hidden_dim: int = 2048
    bottleneck_dim: int = 256

    def setup(self):
        self.encoder = TimeSformerEncoder(self.spec)
        self.head = ProjectionHead(
            self.prototypes, self.hidden_dim, self.bottleneck_dim, dtype=jnp.dtype(self.spec.dtype)
        )

    def __call__(self, groups: Sequence[Float[Array, "b _ _ _ _ c"]], train: bool = False) -> dict[str, Array]:
        """Encode and project normalised views.

        Args:
          groups: arrays of views (b v t h w c); v, t, h and w may differ between groups.

        Returns:
          cls (b v d) and projection (b v k), float32, with the views of all groups concatenated.
        """
        # The row axis stays outermost, so that each device keeps the views of its own rows.
        clips = [rearrange(views, "b v t h w c -> (b v) t h w c") for views in groups]
        found = self.encoder.encode_groups(clips, train)
        cls = jnp.concatenate([rearrange(x, "(b v) d -> b v d", b=len(groups[0])) for x in found], axis=1)
        return {"cls": cls, "projection": self.head(cls)}

    def view_macs(self, shape: tuple[int, int, int, int]) -> int:
        """Multiply-accumulates of one view of shape (t h w c)."""
        t, h, w, _ = shape
        spec = dataclasses.replace(self.spec, num_frames=t, image_size=(h, w))
        head = self.hidden_dim * (spec.width + self.hidden_dim + self.bottleneck_dim)
        return spec.classifier_macs(0) + head + self.bottleneck_dim * self.prototypes
