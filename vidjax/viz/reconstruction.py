"""Pictures of masked autoencoding: what went in, what was left visible, what came back (VideoMAE, figure 5)."""

from __future__ import annotations

import dataclasses
import io
import itertools
import textwrap
from collections.abc import Mapping

import jax
import numpy as np
from einops import rearrange
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from vidjax.config import Config
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.row_to_clips import LoadEval
from vidjax.data.sources.base import VideoSource
from vidjax.files import Place, located, write_whole
from vidjax.objectives import MaskedAutoencoding
from vidjax.objectives.base import Params
from vidjax.viz.figures import new_figure, save_figure

NORMALIZED = (
    "Visible patches are pasted from the input; only hidden ones are predicted. What is predicted are normalised "
    "pixels: they are put back with the true mean and deviation of each patch and colour, so the overall brightness "
    "and contrast of a hidden patch come from the input, not from the model."
)
PLAIN = "Visible patches are pasted from the input; only hidden ones are predicted, as pixels."
ROWS = ("input", "masked", "reconstructed")
_MAX_CLIPS, _MAX_FRAMES, _MARGIN = 3, 8, 6
_SMALL, _LARGE = 144, 224  # pixels: the height of a frame of the animation is near the first and at most the second
Clips = Float[np.ndarray, "b t h w 3"]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The files that were written, and what has to be said beside them."""

    png: Place
    gif: Place
    caption: str


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
    return write_reconstructions(objective, params, np.stack(clips), jax.random.key(config.seed), mesh, folder)


def write_reconstructions(
    objective: MaskedAutoencoding,
    params: Params,
    video: UInt8[np.ndarray, "b t h w 3"],
    mask_key: jax.Array,
    mesh: Mesh,
    folder: str | Place,
) -> Pictures:
    """Reconstruct a few clips and write folder/reconstruction.png and .gif; every process calls it, the first writes.

    Args:
      params: placed on `mesh`.
    """
    reconstruct = jax.jit(objective.reconstruct, out_shardings=NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh):
        clips = jax.device_get(reconstruct(params, {"video": video}, {"mask": mask_key}))
    caption = NORMALIZED if objective.normalize_target else PLAIN
    png, gif = (located(folder) / f"reconstruction.{kind}" for kind in ("png", "gif"))
    if jax.process_index() == 0:
        draw_strips(clips, png, caption)
        draw_animation(clips, gif, caption)
    return Pictures(png, gif, caption)


def draw_strips(clips: Mapping[str, Clips], path: str | Place, caption: str) -> Place:
    """Draw three rows of frames a clip as a PNG, with the caption below.

    Args:
      clips: input, masked and reconstructed, each (b t h w 3) in [0, 1]; up to 3 clips and 8 frames are shown.
    """
    count, times = _shown(clips)
    figure = new_figure(0.5 + 1.15 * len(times), count * 3.75 + 0.8)
    panels = figure.subplots(count, 1, squeeze=False)[:, 0]
    for number, axes in enumerate(panels):
        frames = np.stack([clips[name][number, times] for name in ROWS])
        height, width = frames.shape[2:4]
        gap = max(1, height // 24)
        frames = np.pad(frames, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=1.0)
        image = rearrange(frames, "row t h w c -> (row h) (t w) c")
        axes.imshow(image.clip(0, 1), interpolation="nearest")
        centres = [(height + gap) * row + height / 2 for row in range(3)]
        axes.set_yticks(centres, ROWS, fontsize=9, rotation=90, va="center")
        centres = [(width + gap) * column + width / 2 for column in range(len(times))]
        axes.set_xticks(centres, [str(time) for time in times], fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[-1].set_xlabel("frame of the clip", fontsize=9)
    figure.supxlabel(_wrapped(caption, int(17 * (0.5 + 1.15 * len(times)))), fontsize=8, x=0.02, ha="left")
    return save_figure(figure, path)


def draw_animation(clips: Mapping[str, Clips], path: str | Place, caption: str, frames_per_second: float = 8) -> Place:
    """Write input, masked and reconstructed side by side, one row a clip, as an endless GIF; arguments as above."""
    count, _ = _shown(clips)
    font, header = ImageFont.load_default(13), 22
    high, wide = _size(*clips["input"].shape[2:4])
    width = 3 * wide + 4 * _MARGIN
    lines = _wrapped(caption, width // 6).split("\n")
    top = header + count * (high + _MARGIN)
    page = Image.new("RGB", (width, top + 16 * len(lines) + _MARGIN), "white")
    draw = ImageDraw.Draw(page)
    for column, name in enumerate(ROWS):
        draw.text((_MARGIN + column * (wide + _MARGIN) + wide // 2, header // 2), name, "black", font, anchor="mm")
    draw.multiline_text((_MARGIN, top), "\n".join(lines), "black", ImageFont.load_default(12), spacing=4)
    pages = []
    for time in range(clips["input"].shape[1]):
        pages.append(page.copy())
        for column, name in enumerate(ROWS):
            for row in range(count):
                frame = (clips[name][row, time].clip(0, 1) * 255).round().astype(np.uint8)
                sharp = Image.Resampling.NEAREST if high >= len(frame) else Image.Resampling.BOX
                picture = Image.fromarray(frame).resize((wide, high), sharp)
                pages[-1].paste(picture, (_MARGIN + column * (wide + _MARGIN), header + row * (high + _MARGIN)))
    path = located(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pause = round(1000 / frames_per_second)  # milliseconds
    picture = io.BytesIO()
    pages[0].save(picture, "GIF", save_all=True, append_images=pages[1:], duration=pause, loop=0)
    write_whole(path, picture.getvalue())
    return path


def _shown(clips: Mapping[str, Clips]) -> tuple[int, np.ndarray]:
    """How many clips, and which frames of them."""
    count, frames = clips["input"].shape[:2]
    return min(count, _MAX_CLIPS), np.unique(np.linspace(0, frames - 1, min(frames, _MAX_FRAMES)).round().astype(int))


def _size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a frame of the animation: a whole multiple of the clip's unless that would be too large."""
    high = min(height * max(1, round(_SMALL / height)), _LARGE)
    return high, round(width * high / height)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))
