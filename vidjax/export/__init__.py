"""Models that leave the house: a graph with its weights that runs without vidjax, and folders for the hub."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.export", {})
