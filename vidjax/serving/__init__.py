"""Serve a model over HTTP: clients post videos and get the answers of `vidjax predict --json`."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.serving", {})
