"""What a module returns, by name."""

from typing import Any, cast

import flax.linen as nn
from jaxtyping import Array


def outputs(module: nn.Module, params: Any, *inputs: Any, **options: Any) -> dict[str, Array]:
    """The named outputs of a module; `inputs` and `options` are those of `module.apply`."""
    # Flax's type has the variables that a call changed, too; no module here changes any.
    return cast(dict[str, Array], module.apply({"params": params}, *inputs, **options))
