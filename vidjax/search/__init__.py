"""Index the windows of many videos, and find the moments that a text, a video or a picture describes."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.search", {})
