"""Modules with a compiled `init`, which draws the parameters without running the model."""

import functools
from collections.abc import Hashable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class CompiledInit(nn.Module):
    """A module with a compiled `init`; its parameters equal those of Flax's own `init` under `jax.jit`."""

    def init(self, rngs: Any, *args: Any, **options: Any) -> Any:
        """Initialise the module's variables; arguments and result are those of `flax.linen.Module.init`.

        Flax's own `init` runs the module on the inputs, one operation after another, which takes ten seconds for a
        large module. This method compiles a function that only draws the parameters; equal modules share it. Inputs
        may be `jax.ShapeDtypeStruct`s.
        """
        given = dict(enumerate(args)) | options
        arrays = {name: value for name, value in given.items() if isinstance(value, _ARRAYS)}
        shapes = tuple((name, array.shape, jnp.dtype(array.dtype)) for name, array in arrays.items())
        fixed = tuple((name, value) for name, value in given.items() if name not in arrays)
        if not all(isinstance(value, Hashable) for _, value in fixed):
            return super().init(rngs, *args, **options)
        return _draw(self, shapes, fixed, rngs)


_ARRAYS = jax.Array | np.ndarray | jax.ShapeDtypeStruct


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _draw(module: CompiledInit, shapes: tuple, fixed: tuple, rngs: Any) -> Any:
    given: dict[Any, Any] = dict(fixed) | {name: jnp.zeros(shape, dtype) for name, shape, dtype in shapes}
    args = [given.pop(place) for place in range(len(given)) if place in given]
    return nn.Module.init(module, rngs, *args, **given)
