"""Write a store of windows as one array per video, for temporal-localisation code such as ActionFormer.

`NAME.npy` holds (windows, d) float32, of windows that begin at exact multiples of the stride; `NAME.json` says how to
place them in time. In ActionFormer's configuration, feat_stride and num_frames have the same names.
"""

from __future__ import annotations

import collections
import io
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from vidjax.data.sources.video_tree import is_video_name
from vidjax.errors import ConfigError
from vidjax.evaluation.features.store import FeatureStore
from vidjax.files import located, make_folder, write_json, write_whole

_ROUNDING = 1e-6  # seconds


def write_npy_files(folder: str | os.PathLike, store: FeatureStore, name: str) -> list[str]:
    """Write an array and its description for each row that has features, replacing the files of an earlier call.

    Args:
      store: a store of windows.
      name: name of an array with one vector per window.

    Returns:
      the names of the files, without `.npy` and `.json`.

    Raises:
      ConfigError: for a store without windows or without the array.
      DataError: if a file cannot be written.
    """
    if store.windows is None or store.header.windows is None:
        raise ConfigError(f"{store.folder} holds one feature per row; embed with --every or --window for windows")
    place, windows, every, written = located(folder), store.windows, store.header.windows["every"], []
    for row, file in enumerate(file_names(store.ids)):
        if not store.decoded[row]:
            continue
        times, fps = store.times(row), float(windows.fps[row])
        chosen = on_grid(times[:, 0], every, fps)
        content = io.BytesIO()
        np.save(content, store.array(name, [row])[chosen])
        make_folder((place / f"{file}.npy").parent)
        write_whole(place / f"{file}.npy", content.getvalue())
        window = store.header.window_seconds(fps)
        about = {
            "video": store.ids[row],
            "model": store.header.backbone["source"],
            "feature": name,
            "fps": fps,
            "duration": float(windows.durations[row]),
            "every": every,
            "window": window,
            "feat_stride": every * fps,
            "num_frames": window * fps,
            "times": times[chosen].tolist(),
        }
        write_json(place / f"{file}.json", about)
        written.append(file)
    return written


def on_grid(starts: Float[np.ndarray, " w"], every: float, fps: float) -> Int[np.ndarray, " g"]:
    """Return the number of the window that begins at each multiple of the stride after the first window's start.

    A last window that ends with the video is left out unless it begins at a multiple. A window that stands for several
    multiples, because no other frame was shown meanwhile, is repeated.
    """
    starts, tolerance = starts - starts[0], min(1 / fps, every) / 2 + _ROUNDING
    due = np.arange(int((starts[-1] + tolerance) / every) + 1) * every
    return np.searchsorted(starts, due + tolerance, "right") - 1


def file_names(ids: Sequence[str]) -> list[str]:
    """Name the files of each row, without extension: after the video alone if that is unique, else with its folders."""
    paths = [pathlib.PurePath(os.path.abspath(name)) for name in ids]
    common = os.path.commonpath([path.parent for path in paths])
    names = [_without_ending(path).name for path in paths]
    below = [path.relative_to(common) for path in paths]
    for longer in (lambda row: _without_ending(below[row]), lambda row: below[row], lambda row: f"{below[row]}-{row}"):
        counts = collections.Counter(names)
        names = [name if counts[name] == 1 else str(longer(row)) for row, name in enumerate(names)]
    return names


def _without_ending(path: pathlib.PurePath) -> pathlib.PurePath:
    return path.with_suffix("") if is_video_name(path.name) else path
