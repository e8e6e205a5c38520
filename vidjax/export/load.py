"""Run the exported model in this folder with jax alone: `from load import load; load()(clips)["probabilities"]`.

Clips are uint8 RGB (batch, frames, height, width, 3) of the size in preprocessing.json, with any batch size.
"""

import json
import pathlib

import jax
import jax.export
import numpy as np


def load(folder=pathlib.Path(__file__).parent):
    """Return a function that maps clips to a dict of arrays (batch, classes); it compiles once per batch size."""
    folder = pathlib.Path(folder)
    graph = jax.export.deserialize(bytearray((folder / "model.jaxexport").read_bytes()))
    weights, call = jax.device_put(read_weights(folder / "weights.safetensors")), jax.jit(graph.call)
    return lambda clips: call(weights, clips)


def read_weights(path):
    """Read the float32 arrays of a safetensors file: header length, JSON header, data."""
    stored = np.fromfile(path, np.uint8)
    start = 8 + int(stored[:8].view("<u8")[0])
    arrays = json.loads(stored[8:start].tobytes())
    arrays.pop("__metadata__", None)
    places = {
        name: (array["shape"], slice(*(start + at for at in array["data_offsets"]))) for name, array in arrays.items()
    }
    return {name: stored[place].view("<f4").reshape(shape) for name, (shape, place) in places.items()}
