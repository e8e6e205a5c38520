"""Load and export checkpoints: hub ids, folders, `.safetensors`, `.pth`, `.npz`, msgpack, vidjax runs and adapters."""

from vidjax.weights.export_files import export
from vidjax.weights.model import Pretrained
from vidjax.weights.pretrained import from_pretrained

__all__ = ["Pretrained", "export", "from_pretrained"]
