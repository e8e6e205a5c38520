"""Parameters that a run does not train: those whose path matches `objective.frozen`.

Both halves are needed. Without gradients nothing is computed for them, and they do not count in the norm that clipping
sees; left out of the optimiser, they keep no moments and are not shrunk by weight decay.
"""

from __future__ import annotations

from typing import Any

import jax
import optax

from vidjax.models.param_paths import matches


def hold(params: Any, pattern: str) -> Any:
    """The same parameters; those whose path matches get no gradient. An empty pattern holds none."""
    if not pattern:
        return params
    return jax.tree.map(
        lambda leaf, frozen: jax.lax.stop_gradient(leaf) if frozen else leaf, params, matches(params, pattern)
    )


def freeze(rule: optax.GradientTransformation, pattern: str) -> optax.GradientTransformationExtraArgs:
    """`rule` for the other parameters: those whose path matches never move. An empty pattern freezes none."""
    rule = optax.with_extra_args_support(rule)
    if not pattern:
        return rule

    def labels(params):
        return jax.tree.map(lambda frozen: "frozen" if frozen else "trained", matches(params, pattern))

    return optax.partition({"frozen": optax.set_to_zero(), "trained": rule}, labels)
