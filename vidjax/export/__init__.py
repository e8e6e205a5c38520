"""Export models for other software: graphs with weights that run without vidjax, and folders for the hub."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.export", {})
