"""vidjax: pre-train, fine-tune, evaluate and use video models on JAX.

Subpackages and functions are imported on first use, so that `import vidjax` stays light.
"""

from typing import TYPE_CHECKING

from vidjax._lazy import attach

if TYPE_CHECKING:
    from vidjax.models import build_model
    from vidjax.weights import from_pretrained

__version__ = "0.1.0"

__all__ = ["__version__", "build_model", "from_pretrained"]

__getattr__, _names = attach("vidjax", {"build_model": "vidjax.models", "from_pretrained": "vidjax.weights"})


def __dir__() -> list[str]:
    return ["__version__", *_names()]
