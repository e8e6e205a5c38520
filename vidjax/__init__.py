"""vidjax: pre-train, fine-tune, evaluate and use video models on JAX."""

import importlib

__version__ = "0.1.0"

_LAZY = {"build_model": "vidjax.models", "from_pretrained": "vidjax.weights"}
_ROOMS = ("data", "evaluation", "models", "objectives", "ops", "training", "viz", "weights")

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    """Import a room or a public function when it is first used, so that `import vidjax` stays light."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"vidjax.{name}")
    raise AttributeError(f"module 'vidjax' has no attribute {name!r}")
