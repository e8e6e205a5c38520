"""What is computed with divided rows, or a divided kernel, equals NumPy's result, gradients included, on any mesh."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from vidjax.ops import patchify, product_by_rows
from vidjax.ops.row_sharding import on_own_rows

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


@pytest.mark.parametrize(
    ("sizes", "rows", "own"),
    [((1, 1, 1), 8, 8), ((8, 1, 1), 8, 1), ((2, 2, 2), 8, 2), ((1, 4, 2), 8, 2), ((2, 4, 1), 6, 6)],
)
def test_each_device_applies_a_function_to_its_own_rows(sizes, rows, own):
    devices, seen = jax.devices()[: np.prod(sizes)], []

    def function(x):
        seen.append(x.shape)
        return x**2

    with jax.set_mesh(jax.make_mesh(sizes, ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3, devices=devices)):
        found, gradient = jax.jit(jax.value_and_grad(lambda x: jnp.sum(on_own_rows(function, rows)(x) * OUT[:rows])))(
            OUT[:rows]
        )
    assert set(seen) == {(own, 3, 12)}
    np.testing.assert_allclose(found, np.sum(OUT[:rows] ** 3, dtype=np.float64), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(gradient, 2 * OUT[:rows] ** 2, rtol=1e-6)


def test_a_tpu_fixes_the_layout_of_each_devices_own_pixels():
    mesh = jax.make_mesh((2, 4, 1), ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3)
    clips = jax.ShapeDtypeStruct((16, 2, 8, 8, 3), jnp.float32, sharding=NamedSharding(mesh, P(("data", "fsdp"))))
    with jax.set_mesh(mesh):
        program = jax.jit(lambda x: patchify(x, 2, 4)).trace(clips).lower(lowering_platforms=("tpu",)).as_text()
    assert re.findall(r"@LayoutConstraint\(.*\(tensor<([\dx]+)xf32>\)", program) == ["2x2x8x24"]
