"""Compiling a step for chips that are not there: memory, estimated time, collectives."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.aot", {})
