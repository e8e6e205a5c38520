"""Pictures of masked autoencoding: what went in, what was left visible, what came back, how far it is off.

VideoMAE, figure 5, which has several mask ratios one under the other too.
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
    "Visible patches are pasted from the input; only hidden ones are predicted. What is predicted are normalised "
    "pixels: they are put back with the true mean and deviation of each patch and colour, so the overall brightness "
    "and contrast of a hidden patch come from the input, not from the model."
)
PLAIN = "Visible patches are pasted from the input; only hidden ones are predicted, as pixels."
_ERROR = (
    " Error: the absolute difference, averaged over colours, from black (0) to white ({most:.2f} of the range of "
    "pixels or more)."
)
_MAX_CLIPS = 3
Clips = Float[np.ndarray, "b t h w 3"]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The files that were written, and what has to be said beside them.

    Attributes:
      errors: of each objective, the mean absolute error over the pixels that it predicted.
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
    """Reconstruct three videos spread over a data set; see `write_reconstructions`.

    Args:
      source: where the videos come from; those that cannot be decoded are passed over.
      config: its data section says how a clip is taken, its seed draws the mask.

    Returns:
      the pictures, or None if no video can be decoded.
    """
    load = LoadEval(source, ClipRecipe.of(config.data, config.eval).one_view()).map
    spread = np.random.default_rng(config.seed).permutation(len(source))  # neighbours are often of one class
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
    """Reconstruct clips and write folder/reconstruction.png, .gif and .mp4; every process calls it, the first writes.

    Args:
      objectives: one, or several with different mask ratios, whose pictures stand one under the other.
      params: placed on `mesh`.
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
    """How far pixels are off, the mean over colours, from black to white; and the error that is white.

    White is what one in a hundred of the pixels that differ exceeds, the same for all clips.
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
