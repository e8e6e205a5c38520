"""Compile programs for TPU chips that are not attached: memory, estimated time, collectives."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.aot", {})
