"""Read the arrays of one file: safetensors, PyTorch's zip or pickle, NumPy's zip, or flax msgpack.

Only safetensors files are written.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401 - registers bfloat16 with NumPy under that name
import numpy as np
import safetensors
import safetensors.numpy
from flax import serialization

from vidjax.errors import WeightsError

LFS_POINTER = b"version https://git-lfs"
HDF5 = b"\x89HDF\r\n\x1a\n"
MSGPACK_MAPS = (*range(0x81, 0x90), 0xDE, 0xDF)  # first bytes of non-empty maps
PICKLES = [bytes((0x80, protocol)) for protocol in range(2, 6)]
_SAFETENSORS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bfloat16", "I64": "i8", "I32": "i4"}
EXPECTED = "expected .safetensors, a .pth written by torch.save, an .npz, or a flax msgpack checkpoint"


def read_arrays(path: Path) -> Mapping:
    """Read a file into nested dicts with tensors as NumPy arrays.

    Raises:
      WeightsError: if the file has none of these formats, is truncated, is a pickle that contains code, or needs
        PyTorch, which is not installed.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise WeightsError(f"{path} is empty; {EXPECTED}")
    if head.startswith(LFS_POINTER):
        raise WeightsError(
            f"{path} is a Git LFS pointer, a few lines of text in place of the arrays; fetch them with `git lfs pull`"
        )
    if head.startswith(HDF5) or path.suffix in (".h5", ".keras"):
        raise keras_refused(path)
    if _is_npz(path):
        return _read_npz(path)
    if zipfile.is_zipfile(path) or head.startswith(b"PK\x03\x04") or head[:2] in PICKLES:
        return _read_torch(path)
    if len(head) > 8 and head[8:9] == b"{":
        return _read_safetensors(path)
    if head[0] in MSGPACK_MAPS:
        return _read_msgpack(path)
    raise WeightsError(f"{path} is not a checkpoint; {EXPECTED}")


def keras_refused(path: Path) -> WeightsError:
    """Return the error for a Keras file or SavedModel; it names the original checkpoint if the file's name shows it."""
    sizes = {"S": "small", "B": "base", "L": "large", "H": "huge"}
    named = re.search(r"VideoMAE_([SBLH])_(\w+?)_16x224_(FT|PT)", path.name)
    which, hub = "", "MCG-NJU/videomae-base-finetuned-kinetics"
    if named:
        size, data, stage = sizes[named[1]], named[2].upper(), named[3]
        kind = "pre-trained" if stage == "PT" else "fine-tuned"
        which = f" (ViT-{named[1]}, {data}, {kind})"
        ending = {"K400": "-finetuned-kinetics", "SSV2": "-finetuned-ssv2"}.get(data, "") if stage == "FT" else ""
        hub = f"MCG-NJU/videomae-{size}{ending}"
    return WeightsError(
        f"{path} is a Keras file, which vidjax does not read; use the original, checkpoint.pth{which} in "
        f"MODEL_ZOO.md of MCG-NJU/VideoMAE, or the hub id {hub}"
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays as views of the file on disk."""
    try:
        with safetensors.safe_open(path, "np") as file:  # it checks the header
            data = np.asarray(np.memmap(path, np.uint8, "r"))
            start = 8 + int.from_bytes(data[:8].tobytes(), "little")
            header = json.loads(data[8:start].tobytes())
            return {
                key: data[start:][slice(*header[key]["data_offsets"])].view(dtype).reshape(header[key]["shape"])
                if (dtype := _SAFETENSORS.get(header[key]["dtype"]))
                else file.get_tensor(key)
                for key in file.keys()  # noqa: SIM118 - not a dict
            }
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is truncated or not a safetensors file ({error}); fetch it again") from error
    except (AttributeError, TypeError) as error:  # raised for types that NumPy lacks, such as float8
        raise WeightsError(f"{path} holds a number type that NumPy lacks ({error}); save it as bfloat16") from error


def write_safetensors(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Write arrays by name to a safetensors file that all users may read.

    Raises:
      OSError: if the disk is full or fails, made from safetensors' own error, which has the errno in its text.
    """
    try:
        safetensors.numpy.save_file(arrays, path, metadata)
    except safetensors.SafetensorError as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(found[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        raise
    path.chmod(0o644)  # safetensors makes it readable by the owner only


def _is_npz(path: Path) -> bool:
    if path.suffix == ".npz":
        return True
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as file:
            return bool(names := file.namelist()) and all(name.endswith(".npy") for name in names)
    except zipfile.BadZipFile:
        return False


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read NumPy's archive; pickled objects in it are refused."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is truncated or not an .npz file of arrays ({error}); fetch it again") from error


def _read_torch(path: Path) -> Mapping:
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{path} can only be read with PyTorch: pip install torch (the CPU build will do)"
        ) from error
    options = {"map_location": "cpu", "weights_only": True, "mmap": zipfile.is_zipfile(path)}
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown pickle protocols, which fail anyway
            tree = torch.load(path, **options)
            arrays = _as_numpy(tree, torch) if isinstance(tree, Mapping) else None
    except pickle.UnpicklingError as error:
        raise WeightsError(_refusal(path, str(error))) from error
    except Exception as error:  # PyTorch's readers raise many classes on a damaged file
        first = str(error).split(". ")[0].splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} is truncated or not written by torch.save ({first}); {EXPECTED}") from error
    if arrays is None:
        raise WeightsError(f"{path} holds a {type(tree).__name__}; a checkpoint is a dict of tensors")
    return arrays


def _refusal(path: Path, words: str) -> str:
    named = re.search(r"(?:unsupported GLOBAL|Unsupported global: GLOBAL|unsupported class) (\S+)", words)
    if named:
        return (
            f"{path} would call {named[1]} when loaded, so it is refused: only tensors, plain values and "
            "argparse.Namespace are read; save its state dict with torch.save and use that"
        )
    return f"{path} is a pickle, but not of tensors as torch.save writes them, so it is refused; {EXPECTED}"


def _as_numpy(tree: Mapping, torch) -> dict:
    found = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            value = _as_numpy(value, torch)
        elif isinstance(value, list):
            value = [_as_numpy(item, torch) if isinstance(item, Mapping) else item for item in value]
        elif isinstance(value, torch.Tensor):
            value = value.detach()
            value = (value.float() if value.is_floating_point() else value).numpy()
        found[key] = value
    return found


def _read_msgpack(path: Path) -> Mapping:
    try:
        tree = serialization.msgpack_restore(path.read_bytes())
    except Exception as error:  # msgpack and NumPy raise different classes for data that does not parse
        raise WeightsError(f"{path} is truncated or not a msgpack checkpoint ({error}); {EXPECTED}") from error
    if not isinstance(tree, Mapping):
        raise WeightsError(f"{path} holds a {type(tree).__name__}; a checkpoint is a dict of arrays")
    return tree
