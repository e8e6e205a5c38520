"""Compute the features of videos with a frozen backbone: arrays of each video's central view, in blocks of rows.

The batches of a block contain only the block's own rows, padded with the last one. The bytes of a block therefore
depend neither on other blocks of the call nor on the process that computes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Int64, UInt8

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.loader import eval_batches
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row
from vidjax.errors import ConfigError, DataError, VideoError
from vidjax.evaluation.features.window_times import WindowTimes
from vidjax.evaluation.multiview import NOT_FINITE, one_late
from vidjax.models import ClipSpec
from vidjax.objectives.normalize import fit_frames
from vidjax.ops.mesh_axes import ROWS, local_mesh

ARRAYS = ("tokens", "token_mean", "token_max", "width_mean", "cls", "pooled", "embedding")
VIDEOS_A_DEVICE = 8  # per step
_LARGEST = float(np.finfo(np.float16).max)
Step: TypeAlias = Callable[[UInt8[np.ndarray, "b t h w c"]], dict[str, dict[str, Array]]]
OnRow: TypeAlias = Callable[[float], object]


class Backbone(Protocol):
    """A frozen model that computes features of clips, such as a `vidjax.weights.Pretrained`."""

    @property
    def params(self) -> Any: ...

    @property
    def spec(self) -> ClipSpec: ...

    @property
    def family(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def clip_recipe(self) -> ClipRecipe | None:
        """How the clips of a video are taken; features are computed from the central view."""
        ...

    def outputs(self, params: Any, clips: UInt8[Array, "b t h w c"]) -> dict[str, Array]:
        """Compute the `tokens` of clips, and `cls`, `pooled` and `embedding` if the model has them."""
        ...


class Block(NamedTuple):
    """The features of some consecutive rows.

    Attributes:
      arrays: by name, (rows, ...) with zeros for rows without features or, if `windows` is set, (windows, ...).
      labels: (rows,) class numbers.
      reasons: why a row has no features, one of `VideoError.REASONS` or not_finite; empty if it has features.
      windows: the windows from which the arrays were computed; None for one central view per row.
    """

    arrays: dict[str, np.ndarray]
    labels: Int64[np.ndarray, " rows"]
    reasons: tuple[str, ...]
    windows: WindowTimes | None = None


def features(outputs: dict[str, Array]) -> dict[str, Array]:
    """Feature arrays computed from a module's outputs, in float32.

    Returns:
      tokens (b n d); token_mean and token_max (b d), their mean and maximum over n; width_mean (b n), their mean over
      d; pooled (b d), the input of a classifier's head; cls (b d) if the model has a class token; embedding (b e),
      of unit length in the space of texts, if the model has a text tower.
    """
    tokens = outputs["tokens"].astype(jnp.float32)
    found = {
        "tokens": tokens,
        "token_mean": tokens.mean(axis=1),
        "token_max": tokens.max(axis=1),
        "width_mean": tokens.mean(axis=2),
    }
    return found | {
        name: outputs[name].astype(jnp.float32) for name in ("cls", "pooled", "embedding") if name in outputs
    }


def clip_features(backbone: Backbone, params: Any, clips: UInt8[Array, "b t h w c"]) -> dict[str, Array]:
    """Compute the `features` of clips of the backbone's size; for use under `jax.jit`."""
    return features(backbone.outputs(params, fit_frames(clips, backbone.spec)))


def feature_shapes(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """Return the shape of one row of each array, by name; nothing is computed.

    Raises:
      ConfigError: if the clips do not fit the model.
    """
    recipe = clip_recipe_of(backbone)
    clips = jax.ShapeDtypeStruct((1, recipe.num_frames, *recipe.frame_size, 3), jnp.uint8)
    shapes = jax.eval_shape(lambda params, x: clip_features(backbone, params, x), backbone.params, clips)
    return {name: shapes[name].shape[1:] for name in ARRAYS if name in shapes}


def clip_recipe_of(backbone: Backbone) -> ClipRecipe:
    """Return the recipe for the single clip of each video.

    Raises:
      ConfigError: for a model that takes no clips.
    """
    if backbone.clip_recipe is None:
        raise ConfigError(f"{backbone.source} takes no clips, so it has no features of videos")
    return backbone.clip_recipe.one_view()


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The features to compute, and how to compute them.

    Attributes:
      names: names from `features`.
      dtype: dtype of the arrays.
      most_rows: maximum rows of any block, in this call or another; not used for windows.
      batch: clips per step over the devices of this process; 0 for 8 per device (windows on a CPU: 2).
    """

    names: Sequence[str]
    dtype: str
    most_rows: int
    batch: int = 0


class Extractor:
    """Compute blocks of rows; the model is compiled and put on the devices once for all calls.

    Args:
      data: sets the speed of loading: workers, threads and prefetch.
    """

    def __init__(self, backbone: Backbone, source: VideoSource, data: DataConfig, extraction: Extraction):
        self._backbone, self._source, self._data, self._extraction = backbone, source, data, extraction

    @functools.cached_property
    def _step(self) -> Step:
        return make_step(self._backbone, self._extraction)

    def blocks(
        self, blocks: Sequence[range], on_row: OnRow = lambda rows: None
    ) -> Generator[tuple[int, Block], None, None]:
        """Yield the index of each block in `blocks`, and its features.

        Args:
          on_row: called with 1 for each row that is done.

        Raises:
          ConfigError: if the batch is not a multiple of the devices.
          DataError: if a value is too large for float16; the message names the row.
        """
        if not blocks:
            return
        asked, devices = self._extraction, jax.local_device_count()
        batch = min(steps_batch(asked.batch), -(-asked.most_rows // devices) * devices)
        filled = [np.pad(np.asarray(block), (0, -len(block) % batch), "edge") for block in blocks]
        chosen = _Chosen(self._source, np.concatenate(filled))
        batches = eval_batches(chosen, self._data, clip_recipe_of(self._backbone), batch=batch)

        def run(local: dict) -> dict:
            return self._step(local["video"][:, 0]) | {key: local[key] for key in ("label", "decoded", "failed_reason")}

        with contextlib.closing(batches):
            outputs = one_late(map(run, batches))
            for place, block in enumerate(blocks):
                parts = []
                for start in range(0, len(block), batch):
                    parts.append(next(outputs))
                    for _ in block[start : start + batch]:
                        on_row(1)
                yield place, _checked(_join(parts, len(block)), self._source, block, asked.dtype)


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """A selection of a source's rows, with the methods that the loader needs."""

    source: VideoSource
    rows: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.source[int(self.rows[index])]


def make_step(backbone: Backbone, extraction: Extraction) -> Step:
    """Put the model on the devices of this process, and compile the step that computes arrays of clips.

    Returns:
      a function from a batch of clips to their `arrays` and `peaks`, both by name. A peak is the greatest absolute
      value in a clip's array, which must not exceed the range of float16.
    """
    mesh, names = local_mesh(), tuple(extraction.names)
    params = jax.device_put(backbone.params, NamedSharding(mesh, PartitionSpec()))
    over_devices = NamedSharding(mesh, PartitionSpec(ROWS))

    @jax.jit
    def compiled(params: Any, clips: UInt8[Array, "b t h w c"]) -> dict[str, dict[str, Array]]:
        found = clip_features(backbone, params, clips)
        found = {name: found[name] for name in names}
        peaks = {name: jnp.abs(array).max(axis=range(1, array.ndim)) for name, array in found.items()}
        return {"arrays": {name: array.astype(extraction.dtype) for name, array in found.items()}, "peaks": peaks}

    def step(clips: UInt8[np.ndarray, "b t h w c"]) -> dict[str, dict[str, Array]]:
        with jax.set_mesh(mesh):
            return compiled(params, jax.device_put(clips, over_devices))

    return step


def _join(parts: list[dict], count: int) -> dict:
    """Join the outputs of several steps, and keep the first rows."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


def _checked(found: dict[str, Any], source: VideoSource, block: range, dtype: str) -> Block:
    """Make the block: zero the rows that failed, and reject values that float16 cannot hold."""
    arrays, decoded = found["arrays"], found["decoded"]
    finite = finite_rows(found["peaks"])
    check_range(found["peaks"], decoded & finite, [source[row].id for row in block], dtype)
    reasons = tuple(
        VideoError.REASONS[code] if not ok else "" if whole else NOT_FINITE
        for ok, whole, code in zip(decoded, finite, found["failed_reason"], strict=True)
    )
    for array in arrays.values():
        array[~(decoded & finite)] = 0
    return Block(arrays, found["label"].astype(np.int64), reasons)


def finite_rows(peaks: dict[str, np.ndarray]) -> np.ndarray:
    """Find the rows whose values are all finite."""
    return np.all([np.isfinite(peak) for peak in peaks.values()], axis=0)


def check_range(peaks: dict[str, np.ndarray], kept: np.ndarray, names: Sequence[str], dtype: str) -> None:
    """Reject values that float16 cannot hold."""
    for name, peak in peaks.items():
        too_large = kept & (peak > _LARGEST)
        if dtype == "float16" and too_large.any():
            row = int(too_large.argmax())
            raise DataError(
                f"{name} of {names[row]} reaches {peak[row]:.6g}, but the largest float16 is {_LARGEST:.0f}; store "
                "float32 (--dtype=float32, or --config.probe.dtype=float32) in a new folder"
            )


def steps_batch(asked: int) -> int:
    """Return the number of clips per step: as asked for, or 8 per device of this process.

    Raises:
      ConfigError: if it is not a multiple of the devices.
    """
    devices = jax.local_device_count()
    if asked < 0 or asked % devices:
        near = max(1, round(asked / devices)) * devices
        raise ConfigError(f"a batch of {asked} clips is not a multiple of the {devices} devices here; use {near}")
    return asked or VIDEOS_A_DEVICE * devices
