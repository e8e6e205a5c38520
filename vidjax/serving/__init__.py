"""A model behind HTTP: videos are posted, what `vidjax predict --json` says of them comes back."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.serving", {})
