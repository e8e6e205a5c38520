"""A product with divided rows and kernel equals NumPy's, gradients included, on any mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax.ops import product_by_rows

RNG = np.random.default_rng(0)
X, KERNEL, OUT = (RNG.normal(size=shape).astype(np.float32) for shape in ((8, 3, 16), (16, 12), (8, 3, 12)))


@pytest.mark.parametrize(
    ("sizes", "divided"),
    [
        ((1, 1, 1), 0),
        ((8, 1, 1), 0),
        ((2, 4, 1), 0),
        ((2, 4, 1), 1),
        ((1, 8, 1), 1),  # 12 is not divisible by 8
        ((2, 2, 2), 0),  # with a tensor axis, the compiler divides
    ],
)
def test_a_product_and_its_gradients_match_one_device(sizes, divided):
    devices = jax.devices()[: np.prod(sizes)]
    mesh = jax.make_mesh(sizes, ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3, devices=devices)

    @jax.jit
    def value_and_gradients(x, kernel):
        out, back = jax.vjp(lambda x, kernel: product_by_rows(x, kernel, jnp.matmul, divided), x, kernel)
        return out, *back(jnp.asarray(OUT))

    with jax.set_mesh(mesh):
        found = value_and_gradients(jax.device_put(X, NamedSharding(mesh, P(("data", "fsdp")))), KERNEL)
    expected = X @ KERNEL, OUT @ KERNEL.T, np.einsum("bnd,bne->de", X, OUT)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_rows_that_cannot_be_divided_are_multiplied_all_the_same():
    with jax.set_mesh(jax.make_mesh((1, 8, 1), ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3)):
        found = jax.jit(lambda x, kernel: product_by_rows(x, kernel, jnp.matmul))(X[:3], KERNEL)
    np.testing.assert_allclose(found, X[:3] @ KERNEL, rtol=1e-5, atol=1e-5)
