"""Apply a module that returns named outputs."""

from typing import Any, cast

import flax.linen as nn
from jaxtyping import Array


def outputs(module: nn.Module, params: Any, *inputs: Any, **options: Any) -> dict[str, Array]:
    """Apply a module and return its outputs; `inputs` and `options` are those of `module.apply`."""
    # Flax's return type also allows for mutated variables, but no module here mutates any.
    return cast(dict[str, Array], module.apply({"params": params}, *inputs, **options))
