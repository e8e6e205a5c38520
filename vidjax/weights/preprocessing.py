"""preprocessing.json: how to take clips from videos for an exported model, and what the model's outputs mean.

`vidjax export` writes it beside a StableHLO or ONNX program, and beside weights in `transformers`' or the authors'
layout, whose own files cannot hold all of this.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidjax import __version__
from vidjax.config import choices
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.clips.sampling import SAMPLINGS
from vidjax.errors import WeightsError
from vidjax.evaluation.merge_views import MERGES
from vidjax.files import read_json
from vidjax.objectives import ActionRecognition
from vidjax.ops.patches import CHANNELS

if TYPE_CHECKING:
    from vidjax.weights.model import Pretrained

NAME = "preprocessing.json"
OUTPUTS = {  # a program's outputs, by the kind of the model's answer
    "classes": ("probabilities", "logits"),
    "actions": ("probabilities", "logits"),
    "values": ("values",),
}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The content of a preprocessing.json.

    Attributes:
      recipe: how clips are taken. Its channel order is that of the Flax module's input; an exported program takes RGB.
      kind: `classes`, `actions` or `values`, as in `vidjax.tasks.Answer`; empty for a model that predicts nothing.
      activation: applied to the outputs of the module, as in `vidjax.tasks.Answer`; empty for none.
      nouns: for actions, the number of nouns, whose outputs precede the verbs'; else 0.
      labels: names of the outputs, if they have any.
    """

    recipe: ClipRecipe
    kind: str
    activation: str
    nouns: int
    labels: tuple[str, ...] | None


def describe(model: Pretrained) -> dict[str, Any]:
    """Return the content of preprocessing.json for a model."""
    recipe, answer, objective = model.clips, model.answer, model.objective
    names = OUTPUTS[answer.kind] if answer else ()
    return {
        "vidjax": __version__,
        "family": model.family,
        "input": {
            "name": "clips", "dtype": "uint8",
            "shape": ["batch", recipe.num_frames, *recipe.frame_size, CHANNELS],
            "axes": "batch frames height width channels", "channels": "RGB",
            "normalised": "in the program: (pixels / 255 - mean) / std",
            "mean": list(recipe.mean), "std": list(recipe.std), "channels_of_mean_and_std": recipe.channels.upper(),
        },
        "frames": {
            "num_frames": recipe.num_frames, "stride": 1 if recipe.fps else recipe.stride,
            "segments": recipe.segments, "sampling": recipe.sampling,
            "fps": recipe.fps or SAMPLINGS[recipe.sampling].rate or None,
            "meaning": f"{recipe.words}; stride counts frames at `fps`, or at the video's own rate if null",
        },
        "size": {
            "height": recipe.frame_size[0], "width": recipe.frame_size[1], "interpolation": recipe.interpolation,
            "meaning": "frames are resized until they just cover height x width (if square, their short side gets "
            "that size), then cropped",
        },
        "views": {
            "clips": recipe.clips, "crops": recipe.crops, "merge": recipe.merge,
            "meaning": "clips are evenly spaced in time, and crops along the side that exceeds the size; a single crop "
            "is central; outputs are merged",
        },
        "windows": dataclasses.asdict(recipe.windows) if recipe.windows else None,
        "outputs": {name: ["batch", int(model.num_classes or 0)] for name in names},
        "answer": {
            "kind": answer.kind if answer else "", "activation": answer.activation if answer else "",
            "nouns": objective.nouns if isinstance(objective, ActionRecognition) else 0,
        },
        "labels": list(model.labels) if model.labels else None,
    }  # fmt: skip


def write(folder: Path, model: Pretrained) -> None:
    """Write preprocessing.json to a folder."""
    (folder / NAME).write_text(json.dumps(describe(model), indent=2, ensure_ascii=False) + "\n")


def read(folder: str | os.PathLike) -> Preprocessing:
    """Read the preprocessing.json of a folder.

    Raises:
      WeightsError: if it is missing, or not as `describe` writes it.
    """
    path = Path(folder, NAME)
    return parse(read_json(path), str(path))


def parse(said: Any, where: str) -> Preprocessing:
    """Parse the output of `describe`.

    Args:
      said: the parsed JSON.
      where: the name of the file, for the message.

    Raises:
      WeightsError: if it is not an output of `describe`.
    """
    try:
        return _parse(said)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{where} is not as this version of vidjax export writes it: {error!r}; export the model again"
        ) from error


def _parse(said: Any) -> Preprocessing:
    frames, size, views, answer = (said[name] for name in ("frames", "size", "views", "answer"))
    shown, labels = said["input"], said["labels"]
    height, width = int(size["height"]), int(size["width"])
    recipe = ClipRecipe(
        num_frames=int(frames["num_frames"]), segments=int(frames.get("segments", 1)), stride=int(frames["stride"]),
        fps=_fps(frames),
        sampling=_known(frames["sampling"], SAMPLINGS), image_size=height if height == width else (height, width),
        interpolation=_known(size["interpolation"], choices("data.interpolation")),
        channels=_known(shown["channels_of_mean_and_std"].lower(), choices("data.channels")),
        mean=tuple(map(float, shown["mean"])), std=tuple(map(float, shown["std"])),
        clips=int(views["clips"]), crops=int(views["crops"]), merge=_known(views["merge"], MERGES),
        windows=Windows(**said["windows"]) if said["windows"] else None,
    )  # fmt: skip
    return Preprocessing(
        recipe,
        _known(answer["kind"], ("", *OUTPUTS)),
        str(answer["activation"]),
        int(answer["nouns"]),
        tuple(map(str, labels)) if labels else None,
    )


def _fps(frames: Any) -> float:
    """Return the frames per second of a clip; 0 if the sampling mode or the video sets the rate."""
    fps = 0.0 if SAMPLINGS[frames["sampling"]].rate else float(frames["fps"] or 0.0)
    if not 0 <= fps < math.inf:
        raise ValueError(f"fps={fps} is not a rate")
    return fps / int(frames["stride"])


def _known(word: str, words: Any) -> Any:
    if word not in words:
        raise ValueError(f"{word!r} is not one of {', '.join(words)}")
    return word
