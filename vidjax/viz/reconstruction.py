"""Pictures of masked autoencoding: the input, the visible patches, the reconstruction and its error.

As in figure 5 of VideoMAE, several mask ratios can be shown one below the other.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import jax
import matplotlib
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, UInt8

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.row_to_clips import LoadEval
from vidjax.data.sources.base import VideoSource
from vidjax.files import Place
from vidjax.objectives import MaskedAutoencoding
from vidjax.objectives.base import Params
from vidjax.viz import panels

NORMALIZED = (
    "Visible patches are copied from the input; only hidden patches are predicted. The model predicts normalised "
    "pixels, which are shown with the true mean and deviation of each patch and colour, so the overall brightness "
    "and contrast of a hidden patch come from the input, not from the model."
)
PLAIN = "Visible patches are copied from the input; only hidden patches are predicted, as pixels."
_ERROR = (
    " Error: the absolute difference, averaged over colours, from black (0) through red to pale yellow ({most:.2f} of "
    "the pixel range or more)."
)
_MAX_CLIPS = 3
Clips = Float[np.ndarray, "b t h w 3"]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The files that were written, with the caption and the errors to state beside them.

    Attributes:
      files: the paths.
      caption: how to read the pictures.
      errors: for each objective, the mean absolute error over the pixels that it predicted.
    """

    files: panels.Files
    caption: str
    errors: tuple[float, ...]


def reconstruct_held_out(
    objective: MaskedAutoencoding,
    params: Params,
    source: VideoSource,
    config: Config,
    mesh: Mesh,
    folder: str | Place,
) -> Pictures | None:
    """Reconstruct up to three randomly chosen videos of a data set; see `write_reconstructions`.

    Args:
      source: the data set; videos that cannot be decoded are skipped.
      config: its data section defines how a clip is taken, and its seed draws the videos and the mask.

    Returns:
      the pictures, or None if no video can be decoded.
    """
    load = LoadEval(source, ClipRecipe.of(config.data, config.eval).one_view()).map
    spread = np.random.default_rng(config.seed).permutation(len(source))  # neighbours often share a class
    loaded = (load(int(index)) for index in spread)
    clips = list(itertools.islice((np.asarray(row["video"])[0] for row in loaded if row["decoded"]), _MAX_CLIPS))
    if not clips:
        return None
    return write_reconstructions([objective], params, np.stack(clips), jax.random.key(config.seed), mesh, folder)


def write_reconstructions(
    objectives: Sequence[MaskedAutoencoding],
    params: Params,
    video: UInt8[np.ndarray, "b t h w 3"],
    mask_key: jax.Array,
    mesh: Mesh,
    folder: str | Place,
) -> Pictures:
    """Reconstruct clips and write folder/reconstruction.png, .gif and .mp4.

    Every process must call it; the first process writes the files.

    Args:
      objectives: one objective, or several with different mask ratios, whose pictures are shown one below the other.
      params: parameters placed on `mesh`.
    """
    found = [_reconstruct(objective, params, video, mask_key, mesh) for objective in objectives]
    errors = tuple(_mean_error(clips) for clips in found)
    clips = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    colours, most = error_map(clips["input"], clips["reconstructed"])
    caption = NORMALIZED if objectives[0].normalize_target else PLAIN
    titles = [f"{objective.share_masked:.0%} hidden" for objective in objectives for _ in video]
    titles = titles if len(objectives) > 1 else []
    files = panels.files_of(folder, "reconstruction")
    if jax.process_index() == 0:
        panels.draw(clips | {"error": colours}, files, caption + _ERROR.format(most=most), titles)
    return Pictures(files, caption, errors)


def error_map(given: Clips, found: Clips) -> tuple[Clips, float]:
    """Show each pixel's error, its mean over RGB, as a colour; return the pictures and the scale's upper end.

    The scale begins at 0, in black, and ends at the 99th percentile of the non-zero errors of all clips.
    """
    error = np.abs(found - given).mean(axis=-1)
    differing = error[error > 0]
    most = float(np.quantile(differing, 0.99)) if differing.size else 1.0
    return matplotlib.colormaps["inferno"](error / most)[..., :3].astype(np.float32), most


def _reconstruct(
    objective: MaskedAutoencoding, params: Params, video: UInt8[np.ndarray, "b t h w 3"], key: jax.Array, mesh: Mesh
) -> Mapping[str, Clips]:
    reconstruct = jax.jit(objective.reconstruct, out_shardings=NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh):
        return jax.device_get(reconstruct(params, {"video": video}, {"mask": key}))


def _mean_error(clips: Mapping[str, Clips]) -> float:
    hidden = (clips["reconstructed"] != clips["input"]).any(axis=-1)
    error = np.abs(clips["reconstructed"] - clips["input"]).mean(axis=-1)
    return float(error[hidden].mean()) if hidden.any() else 0.0
