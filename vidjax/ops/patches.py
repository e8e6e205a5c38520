"""Cut clips into cubes of tubelet x patch x patch pixels, and normalise the cubes to make VideoMAE's target."""

import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Int, Num

from vidjax.ops.tpu import stored

CHANNELS = 3


def patchify(video: Num[Array, "b t h w c"], tubelet: int, patch: int) -> Num[Array, "b n p"]:
    """Flatten each cube of pixels to a row, in the order (time, height, width, channel), channel fastest.

    Args:
      video: any dtype; t, h, w must be multiples of the cube's sides.
      tubelet: frames per cube.
      patch: pixels per cube along height and along width.

    Returns:
      n = (t / tubelet) (h / patch) (w / patch) tokens, time first, of p = tubelet patch patch c values.

    Example:
      >>> vidjax.ops.patchify(jnp.zeros((2, 16, 224, 224, 3)), tubelet=2, patch=16).shape
      (2, 1568, 1536)
    """
    # With pixels and channels merged into the last axis, a TPU copies twice. Otherwise it moves the channels in strides
    # of three, which takes three times as long.
    rows = stored(jnp.reshape(video, (*video.shape[:-2], -1)))
    row = patch * video.shape[-1]
    return rearrange(rows, "b (t p0) (h p1) (w r) -> b (t h w) (p0 p1 r)", p0=tubelet, p1=patch, r=row)


def unpatchify(
    patches: Num[Array, "b n p"], grid: tuple[int, int, int], tubelet: int, patch: int
) -> Num[Array, "b t h w c"]:
    """Undo `patchify`; `grid` is the number of cubes along time, height and width.

    Example:
      >>> video = jnp.arange(4 * 8 * 8 * 3).reshape(1, 4, 8, 8, 3)
      >>> patches = vidjax.ops.patchify(video, tubelet=2, patch=4)
      >>> bool((vidjax.ops.unpatchify(patches, (2, 2, 2), tubelet=2, patch=4) == video).all())
      True
    """
    t, h, w = grid
    return rearrange(
        patches,
        "b (t h w) (p0 p1 p2 c) -> b (t p0) (h p1) (w p2) c",
        t=t, h=h, w=w, p0=tubelet, p1=patch, p2=patch,
    )  # fmt: skip


def gather_tokens(tokens: Num[Array, "b n d"], index: Int[Array, "b k"]) -> Num[Array, "b k d"]:
    """Pick k tokens of each row.

    Example:
      >>> tokens = jnp.array([[[0.0], [10.0], [20.0]]])
      >>> vidjax.ops.gather_tokens(tokens, jnp.array([[2, 0]])).tolist()
      [[[20.0], [0.0]]]
    """
    return jnp.take_along_axis(tokens, index[:, :, None], axis=1)


def patch_statistics(
    patches: Float[Array, "b n p"],
) -> tuple[Float[Array, "b n p"], Float[Array, "b n p"]]:
    """Return, for each value, the mean and the divisor of its colour channel in its cube.

    The divisor is the sample standard deviation + 1e-6. Channels are selected by masks, because an axis of size three
    or a stride of three would need a new layout on a TPU.
    """
    channel = jnp.arange(patches.shape[-1]) % CHANNELS
    count = patches.shape[-1] // CHANNELS

    def of_channels(statistic, x):
        # `statistic` is applied before the broadcast: the TPU compiler turns a bare broadcast sum into a sum per value.
        found = [statistic(jnp.sum(jnp.where(channel == c, x, 0.0), axis=-1, keepdims=True)) for c in range(CHANNELS)]
        return jnp.select([channel == c for c in range(CHANNELS)], found)

    mean = of_channels(lambda total: total / count, patches)
    scale = of_channels(lambda total: jnp.sqrt(total / (count - 1)) + 1e-6, jnp.square(patches - mean))
    return mean, scale


def normalize_patches(patches: Float[Array, "b n p"]) -> Float[Array, "b n p"]:
    """Give each cube zero mean and unit sample variance per colour channel: VideoMAE's regression target.

    Args:
      patches: pixels in [0, 1], float32, as `patchify` orders them.

    Source: He et al. 2021, section 3 (per-patch normalisation). As in VideoMAE's training, the variance is the sample
    variance, and 1e-6 is added to the standard deviation.

    Example:
      >>> patches = jax.random.uniform(jax.random.key(0), (1, 2, 48))
      >>> bool(jnp.abs(vidjax.ops.normalize_patches(patches).mean(axis=-1)).max() < 1e-5)
      True
    """
    mean, scale = patch_statistics(patches)
    return (patches - mean) / scale
