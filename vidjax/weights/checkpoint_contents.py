"""Read a checkpoint file or folder into arrays by key.

The content of a file, not its name, decides how it is read, except for the suffixes .npz, .h5 and .keras. PyTorch reads
a `.pth` with `weights_only=True`: no code in a file is ever executed.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vidjax.errors import WeightsError
from vidjax.weights import file_formats

WRAPPERS = ("teacher", "model_state", "module", "model", "state_dict")  # the first that is found is used
OTHERS = ("student", "model_ema", "ema")  # other versions of the arrays, which are not used
PREFIXES = ("module.", "backbone.")
PARTS = ("encoder", "target_encoder", "predictor")  # networks that a file of V-JEPA 2 holds side by side
PROBES = "classifiers"  # a file of V-JEPA 2's probes holds a list of them under this key, and no encoder
_ENCODER_NAME = re.compile(r"vit[a-z](-384)?")  # the encoder's name, within such a file's name
INDEX = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLE = ("model.safetensors", "pytorch_model.bin")
BESIDE = ("config", "preprocessor_config", "preprocessing")  # JSON files beside a checkpoint, which are read with it


@dataclasses.dataclass(frozen=True)
class Contents:
    """A checkpoint's arrays and the JSON files beside them.

    Attributes:
      source: the name used in messages.
      state: arrays by key, floating-point arrays as float32; keys of nested dicts are paths with slashes.
      config: config.json of its folder, or None.
      preprocessor: preprocessor_config.json of its folder, or None.
      preprocessing: vidjax's preprocessing.json of its folder, or None.
      notes: sentences for the user, such as which of two sets of weights is used.
    """

    source: str
    state: dict[str, np.ndarray]
    config: dict | None = None
    preprocessor: dict | None = None
    preprocessing: dict | None = None
    notes: tuple[str, ...] = ()


def read_contents(path: Path) -> Contents:
    """Read a file and the JSON files beside it, or a folder with config.json and arrays as `transformers` writes them.

    Raises:
      WeightsError: if the file is not a checkpoint, is truncated, or would execute code.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise WeightsError(f"there is no file or folder {path}")
    tree = file_formats.read_arrays(path)
    if isinstance(tree.get(PROBES), list):
        return _with_encoder(path, tree[PROBES])
    return _contents(str(path), tree, path.parent)


def encoder_of(name: str) -> str:
    """Return the name of the encoder's file, which is part of a probe's file name; empty if no encoder is named.

    This follows the authors' names: ssv2-vitl-16x2x3.pt belongs to vitl.pt, ssv2-vitg-384-64x2x3.pt to vitg-384.pt.
    """
    file = Path(name)
    named = _ENCODER_NAME.search(file.stem)
    return f"{named[0]}{file.suffix}" if named else ""


def _with_encoder(path: Path, probes: list) -> Contents:
    """Read a probe, and its encoder from the file beside it."""
    if not probes or not isinstance(probes[0], Mapping):
        raise WeightsError(f"{path} holds no probe under {PROBES!r}; save it again")
    name = encoder_of(path.name)
    encoder = path.with_name(name) if name else None
    if encoder is None or not encoder.exists():
        name = name or f"such as vitl{path.suffix}"
        raise WeightsError(
            f"{path} holds a probe without the encoder that it was trained on; put the encoder's file, {name}, beside "
            f"it; the probe's file name must contain the encoder's, as in ssv2-vitl-16x2x3{path.suffix} for vitl"
            f"{path.suffix}"
        )
    contents = _contents(str(path), file_formats.read_arrays(encoder), path.parent)
    probe = {f"classifier/{key}": array for key, array in _strip(_arrays(probes[0])).items()}
    notes = [f"the encoder is read from {encoder}"]
    if len(probes) > 1:
        notes.append(f"the file holds {len(probes)} probes; the first is used, as in its authors' evaluation")
    return dataclasses.replace(contents, state=contents.state | probe, notes=(*contents.notes, *notes))


def _read_folder(folder: Path) -> Contents:
    if (folder / "saved_model.pb").exists():
        raise file_formats.keras_refused(folder)
    if not any((folder / name).exists() for name in ("config.json", "preprocessing.json")):
        below = sorted(str(path.parent) for deep in ("*", "*/*") for path in folder.glob(f"{deep}/config.json"))
        if below:
            raise WeightsError(f"the folder {folder} has no config.json; did you mean {' or '.join(below[:3])}?")
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise WeightsError(
            f"the folder {folder} has no config.json (it holds {names}); give a folder with config.json and "
            "model.safetensors as transformers writes it, the folder of a vidjax run, or the checkpoint file itself"
        )
    for name in INDEX:
        if (folder / name).exists():
            return _contents(str(folder), _read_shards(folder, folder / name), folder)
    for name in WHOLE:
        if (folder / name).exists():
            return _contents(str(folder), file_formats.read_arrays(folder / name), folder)
    raise WeightsError(f"the folder {folder} has neither model.safetensors nor pytorch_model.bin")


def _read_shards(folder: Path, index: Path) -> dict:
    """Read all the files that an index names."""
    places = (read_json(index) or {}).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise WeightsError(f"{index} has no weight_map; it should say which file holds which key")
    state: dict = {}
    for name in sorted(set(places.values())):
        if "/" in name or not (folder / name).exists():
            raise WeightsError(f"{index} names {name}, which is not in the folder; fetch all parts of the checkpoint")
        state |= file_formats.read_arrays(folder / name)
    if missing := sorted(set(places) - state.keys()):
        raise WeightsError(f"{index} names {len(missing)} keys that no part holds, such as {missing[0]}")
    return state


def _contents(source: str, tree: Mapping, beside: Path) -> Contents:
    config, preprocessor, preprocessing = (read_json(beside / f"{name}.json") for name in BESIDE)
    state = _parts(tree) or _strip(_arrays(_unwrap(tree)))
    if not state:
        keys = ", ".join(sorted(map(str, tree))[:5]) or "nothing"
        raise WeightsError(f"{source} holds no arrays where a checkpoint has them (it holds {keys})")
    held = [name for name in (*WRAPPERS, *OTHERS) if isinstance(tree.get(name), Mapping)]
    notes = (f"the file holds {' and '.join(held)}; {held[0]} is used",) if len(held) > 1 else ()
    return Contents(source, state, config, preprocessor, preprocessing, notes)


def read_json(path: Path) -> dict | None:
    """Read an object from a JSON file; None if there is no file.

    Raises:
      WeightsError: if the file holds anything else.
    """
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path} is not readable as JSON ({error})") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} should hold a JSON object, not a {type(found).__name__}")
    return found


def _unwrap(tree: Mapping) -> Mapping:
    """Pick the parameters out of a tree that may also hold an optimiser's state, arguments and counters."""
    if isinstance(tree.get("optimizer"), Mapping) and "target" in tree["optimizer"]:  # scenic, with flax.optim
        return tree["optimizer"]["target"]
    if isinstance(tree.get("params"), Mapping):  # scenic, with optax
        return tree["params"]
    for name in WRAPPERS:
        if isinstance(tree.get(name), Mapping):
            return _unwrap(tree[name])
    return tree


def _parts(tree: Mapping) -> dict[str, np.ndarray]:
    """Return the arrays of several networks, as `encoder/KEY`; empty if the file does not hold them side by side."""
    held = [name for name in PARTS if isinstance(tree.get(name), Mapping)]
    if len(held) < 2:
        return {}
    return {f"{name}/{key}": array for name in held for key, array in _strip(_arrays(tree[name])).items()}


def _arrays(tree: Mapping, prefix: str = "") -> dict[str, np.ndarray]:
    found = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _arrays(value, f"{prefix}{key}/")
        elif isinstance(value, np.ndarray):
            found[f"{prefix}{key}"] = value.astype(np.float32, copy=False) if value.dtype.kind in "fV" else value
    return found


def _strip(state: dict) -> dict:
    for prefix in PREFIXES:
        pattern = re.compile(f"^{re.escape(prefix)}")
        stripped = {pattern.sub("", key): value for key, value in state.items()}
        state = stripped if len(stripped) == len(state) else state
    return state
