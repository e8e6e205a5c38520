"""Transformer parts that several families share: attention, MLP, drop path, and stacks of blocks.

Parameters are float32; `dtype` is the compute dtype. Norm statistics and the softmax are always float32.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.ops.attention.fused import KEPT
from vidjax.ops.scan.branch_tpu import KEPT as KEPT_BY_SCANS

REMAT = {  # the choices of model.remat: what is kept for the backward pass, which recomputes the rest
    "none": None,  # everything is kept, except what norms, GELU, attention and scans always recompute
    "dots": jax.checkpoint_policies.save_from_both_policies(  # the outputs of matmuls, and what the next two keep
        jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        jax.checkpoint_policies.save_only_these_names(KEPT, KEPT_BY_SCANS),
    ),
    # The results of `ops.attention.fused`, and the input of each block.
    "attention": jax.checkpoint_policies.save_only_these_names(KEPT),
    # The results of scans, the states of `ops.scan.branch_tpu`, and the input of each block.
    "scans": jax.checkpoint_policies.save_only_these_names(KEPT_BY_SCANS),
    "full": jax.checkpoint_policies.nothing_saveable,  # only the input of each block
}

xavier_uniform = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
# PyTorch's trunc_normal_ cuts at +-2, which is a hundred standard deviations here, so a plain normal is equivalent.
normal_002 = nn.initializers.normal(0.02)
torch_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # nn.Linear's and nn.Conv's default


def torch_bias(fan_in: int) -> Callable:
    """Return PyTorch's default bias initialiser for a layer with `fan_in` inputs."""
    bound = fan_in**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def add_bias(x: Float[Array, "*b d"], bias: Float[Array, " d"]) -> Float[Array, "*b d"]:
    """Add a bias in float32, so that its gradient is summed in float32 too."""
    return (x.astype(jnp.float32) + bias).astype(x.dtype)


def product(
    x: Float[Array, "*b d"], kernel: Float[Array, "d e"], dtype: DTypeLike, divided: int = 0
) -> Float[Array, "*b e"]:
    """Multiply in `dtype`.

    Rows are sharded over devices; under fsdp the kernel is too, along axis `divided`, and each device gathers it before
    multiplying.
    """
    return ops.product_by_rows(x.astype(dtype), kernel.astype(dtype), jnp.matmul, divided)


def dot_general(x: Array, kernel: Array, *args: Any, **options: Any) -> Array:
    """`product` for Flax modules that accept a replacement for `jax.lax.dot_general`."""
    return ops.product_by_rows(x, kernel, lambda x, kernel: jax.lax.dot_general(x, kernel, *args, **options))


Linear = functools.partial(nn.Dense, dot_general=dot_general)  # Flax's Dense, which adds the bias in the compute dtype


# The backward pass recomputes a norm from its input; otherwise it would read several float32 arrays.
LayerNorm = nn.remat(nn.LayerNorm, prevent_cse=False)
RMSNorm = nn.remat(nn.RMSNorm, prevent_cse=False)


def gelu(x: Float[Array, "*b d"], approximate: bool = False) -> Float[Array, "*b d"]:
    """Compute x Phi(x) in float32, or its tanh approximation in x's dtype; only x is kept for the backward pass.

    Source: Hendrycks & Gimpel 2016.
    """
    return jax.checkpoint(_tanh_gelu if approximate else _exact_gelu, prevent_cse=False)(x)


def _tanh_gelu(x):
    return jax.nn.gelu(x, approximate=True)


def _exact_gelu(x):
    """Compute with erf, as PyTorch does; erfc is more precise for very negative x, but takes a TPU twice as long."""
    wide = x.astype(jnp.float32)
    return (wide * (0.5 + 0.5 * jax.lax.erf(wide * 2**-0.5))).astype(x.dtype)


class Dense(nn.Module):
    """`flax.linen.Dense` with the bias added in float32.

    Attributes:
      features: output channels.
    """

    features: int
    dtype: DTypeLike
    kernel_init: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b e"]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return add_bias(product(x, kernel, self.dtype), bias)


class QKV(nn.Module):
    """The query, key and value projections, with one kernel of shape (d, 3, heads, head width).

    Attributes:
      key_bias: whether keys have a bias; a bias shared by all keys cannot change the softmax, so VideoMAE omits it.
    """

    num_heads: int
    key_bias: bool
    dtype: DTypeLike
    kernel_init: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"], heads: slice = slice(None)) -> tuple[Float[Array, "*b h e"], ...]:
        """Return queries, keys and values of all heads, or of some of them."""
        d, shape = x.shape[-1], (self.num_heads, x.shape[-1] // self.num_heads)
        kernel = self.param("kernel", _flattened(self.kernel_init, 1), (d, 3, *shape), jnp.float32)
        names = ("q_bias", "k_bias", "v_bias") if self.key_bias else ("q_bias", "v_bias")
        bias = {name: self.param(name, nn.initializers.zeros, shape, jnp.float32) for name in names}
        # Three plain matrix products: on a TPU, the result of one joint product would have to be split, and a head axis
        # in the kernel would force a relayout.
        kernels = kernel.astype(self.dtype)[:, :, heads].reshape(d, 3, -1)
        out = []
        for number, name in enumerate(("q_bias", "k_bias", "v_bias")):
            y = product(x, kernels[:, number], self.dtype)
            y = add_bias(y, bias[name][heads].reshape(-1)) if name in bias else y
            out.append(y.reshape(*y.shape[:-1], -1, shape[1]))
        return tuple(out)


class HeadsOut(nn.Module):
    """The output projection of attention, with a kernel of shape (heads, head width, d)."""

    dtype: DTypeLike
    kernel_init: Callable

    @nn.compact
    def __call__(self, *parts: Float[Array, "*b h e"]) -> Float[Array, "*b d"]:
        """Project all heads, given as one array, or as several that hold consecutive groups of heads."""
        width, counts = parts[0].shape[-1], [x.shape[-2] for x in parts]
        d = sum(counts) * width
        kernel = self.param("kernel", _flattened(self.kernel_init, 2), (sum(counts), width, d), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (d,), jnp.float32)
        kernels = jnp.split(kernel, np.cumsum(counts)[:-1])
        products = (
            product(x.reshape(*x.shape[:-2], -1), rows.reshape(-1, d), self.dtype, divided=1)
            for x, rows in zip(parts, kernels, strict=True)
        )
        return add_bias(functools.reduce(jnp.add, products), bias)


class Attention(nn.Module):
    """Multi-head self-attention.

    Attributes:
      implementation: as in `vidjax.ops.attention`.
      attend: function of queries, keys and values, such as `ops.attention` over the tokens of each row (b n d), or
        `ops.attention_over_time` over the frames at each spatial position (b t s d).
      out_init: initialiser of the output projection's kernel; None for `kernel_init`.
    """

    num_heads: int
    key_bias: bool = True
    implementation: str | None = None
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable = normal_002

    attend: Callable = ops.attention
    out_init: Callable | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b *n d"]) -> Float[Array, "b *n d"]:
        q, k, v = QKV(self.num_heads, self.key_bias, self.dtype, self.kernel_init, name="qkv")(x)
        x = self.attend(q, k, v, implementation=self.implementation)
        return HeadsOut(self.dtype, self.out_init or self.kernel_init, name="proj")(x)


class MLP(nn.Module):
    """Two dense layers with a GELU between them, exact (erf) or the tanh approximation.

    Attributes:
      out_init: initialiser of the second kernel; None for `kernel_init`.
    """

    mlp_dim: int
    approximate_gelu: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable = normal_002
    out_init: Callable | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        d = x.shape[-1]
        x = gelu(Dense(self.mlp_dim, self.dtype, self.kernel_init, name="fc1")(x), self.approximate_gelu)
        return Dense(d, self.dtype, self.out_init or self.kernel_init, name="fc2")(x)


class Head(nn.Module):
    """Dropout and a linear layer in float32; returns {"logits": (b classes)}, or {} if there are no classes."""

    num_classes: int
    dropout: float
    kernel_init: Callable

    @nn.compact
    def __call__(self, pooled: Float[Array, "b d"], train: bool) -> dict[str, Float[Array, "b classes"]]:
        if not self.num_classes:
            return {}
        pooled = nn.Dropout(self.dropout)(pooled, deterministic=not train)
        kernel = self.param("kernel", self.kernel_init, (pooled.shape[-1], self.num_classes), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,), jnp.float32)
        return {"logits": pooled.astype(jnp.float32) @ kernel + bias}


class DropPath(nn.Module):
    """Drop the residual branch of whole rows with probability `rate`.

    A rate of None, as outside training, changes nothing. Randomness comes from the stream "dropout".
    Source: Huang et al. 2016.

    Attributes:
      axes: input axes whose entries are dropped independently; the other axes are dropped as a whole.
      rescale: whether to scale the remaining rows by 1 / (1 - rate), as timm does and scenic does not.
    """

    axes: tuple[int, ...] = (0,)
    rescale: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, " b *dims"], rate: Float[Array, ""] | None) -> Float[Array, " b *dims"]:
        if rate is None:
            return x
        keep = 1.0 - rate
        rows = [size if axis in self.axes else 1 for axis, size in enumerate(x.shape)]
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, rows)
        return jnp.where(kept, x / keep.astype(x.dtype) if self.rescale else x, jnp.zeros_like(x))


class Block(nn.Module):
    """Pre-norm transformer block, written as a scan step: returns (x, None)."""

    num_heads: int
    mlp_dim: int
    key_bias: bool = True
    norm_eps: float = 1e-6
    approximate_gelu: bool = False
    attention: str | None = None
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable = normal_002

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], drop_path: Float[Array, ""] | None = None
    ) -> tuple[Float[Array, "b n d"], None]:
        y = LayerNorm(self.norm_eps, dtype=self.dtype, name="norm1")(x)
        y = Attention(self.num_heads, self.key_bias, self.attention, self.dtype, self.kernel_init, name="attn")(y)
        x = x + DropPath()(y, drop_path)
        y = LayerNorm(self.norm_eps, dtype=self.dtype, name="norm2")(x)
        y = MLP(self.mlp_dim, self.approximate_gelu, self.dtype, self.kernel_init, name="mlp")(y)
        return x + DropPath()(y, drop_path), None


def stack_blocks(
    block: type[nn.Module], depth: int, *, unroll: int = 1, remat: str = "none", in_axes: Any = 0
) -> type[nn.Module]:
    """Stack `depth` blocks, with parameters stacked on axis 0; call the stack as `x, outputs = blocks(x, rates)`.

    Args:
      block: a module whose call is (x, one layer's input) -> (x, one layer's output).
      depth: number of layers.
      unroll: a stack of at most this many layers runs without a loop, which compiles more slowly but runs faster on a
        TPU.
      remat: what the forward pass keeps for the backward pass; a key of `REMAT`.
      in_axes: axes of the arguments after x: 0 if each layer has its own, `nn.broadcast` if all layers share one.
    """
    if remat != "none":
        # Outside a loop, the compiler would merge the recomputation with the forward pass.
        block = nn.remat(block, policy=REMAT[remat], prevent_cse=unroll >= depth)
    return nn.scan(
        block,
        variable_axes={"params": 0, "intermediates": 0},  # "intermediates" if a caller captures them
        split_rngs={"params": True, "dropout": True},
        in_axes=in_axes,
        length=depth,
        unroll=depth if unroll >= depth else 1,  # several layers per loop iteration are slower than one
    )


@functools.cache
def tapped(block: type[nn.Module]) -> type[nn.Module]:
    """Return a subclass of the block whose scan also keeps the outputs of some layers; see `run_tapped`."""

    class Tapped(block):  # ty: ignore[unsupported-base] - the base is an argument
        def __call__(self, carry, layer, *shared):
            (x, kept), (inputs, chosen) = carry, layer
            x, out = super().__call__(x, inputs, *shared)
            return (x, jnp.where(chosen.reshape(-1, *[1] * x.ndim), x, kept)), out

    return Tapped


def run_tapped(
    blocks: nn.Module, x: Float[Array, "b n d"], inputs: Any, taps: Sequence[int], depth: int, *shared: Any
) -> tuple[Float[Array, "k b n d"], Any]:
    """Run a stack of `tapped` blocks, and keep x after each of the blocks `taps`.

    The scan carries x and the k kept outputs, instead of stacking every layer's output.

    Args:
      inputs: the layers' inputs, stacked, such as their drop path rates.
      shared: inputs that all layers share.

    Returns:
      x after the k blocks, in the order of `taps`; and the second outputs of all blocks, stacked.
    """
    chosen = np.arange(depth)[:, None] == np.asarray(taps)
    kept = jnp.zeros((len(taps), *x.shape), x.dtype)
    (_, kept), out = blocks((x, kept), (inputs, jnp.asarray(chosen)), *shared)
    return kept, out


def drop_path_rates(rate: float, depth: int, train: bool) -> Float[Array, " depth"] | None:
    """Return rates that grow linearly from 0 at the first block to `rate` at the last; None if nothing is dropped."""
    return jnp.asarray(np.linspace(0.0, rate, depth), jnp.float32) if train and rate > 0 else None


def _flattened(init: Callable, input_axes: int) -> Callable:
    """Adapt `init` to kernels with more than two axes.

    Fan-in is the product of the first `input_axes` axes, and fan-out that of the rest.
    """

    def init_matrix(key, shape, dtype):
        inputs, outputs = int(np.prod(shape[:input_axes])), int(np.prod(shape[input_axes:]))
        return init(key, (inputs, outputs), dtype).reshape(shape)

    return init_matrix
