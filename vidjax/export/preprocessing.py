"""preprocessing.json: how clips are taken from videos for an exported model, and what its outputs mean."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from vidjax import __version__
from vidjax.config import choices
from vidjax.data.clips.recipe import ClipRecipe, Windows
from vidjax.data.clips.sampling import SAMPLINGS
from vidjax.errors import WeightsError
from vidjax.evaluation.merge_views import MERGES
from vidjax.export.graph import Graph
from vidjax.files import read_json
from vidjax.objectives import ActionRecognition
from vidjax.weights import Pretrained

NAME = "preprocessing.json"
_KINDS = ("classes", "actions", "values")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is known of an exported model beside its graph.

    Attributes:
      recipe: how clips are taken, channels in the order that the graph takes them: RGB.
      kind: `classes`, `actions` or `values`, as of `vidjax.tasks.Answer`; activation: of its logits.
      nouns: of actions, how many of the first outputs are nouns.
      labels: of the outputs, if they have names.
    """

    recipe: ClipRecipe
    kind: str
    activation: str
    nouns: int
    labels: tuple[str, ...] | None


def describe(model: Pretrained, graph: Graph, batch: str = "batch") -> dict[str, Any]:
    """The content of preprocessing.json, of a program that takes so many clips at once: "batch" is any number."""
    recipe, answer, objective = model.clips, model.answer, model.objective
    assert answer is not None, "a graph has an answer"
    windows = recipe.windows
    rate = SAMPLINGS[recipe.sampling].rate
    return {
        "vidjax": __version__,
        "family": model.family,
        "input": {
            "name": "clips", "dtype": "uint8", "shape": [batch, *graph.clip_shape],
            "axes": "batch frames height width channels", "channels": "RGB",
            "normalised": "in the graph: (pixels / 255 - mean) / std",
            "mean": list(recipe.mean), "std": list(recipe.std), "channels_of_mean_and_std": recipe.channels.upper(),
        },
        "frames": {
            "num_frames": recipe.num_frames, "stride": recipe.stride, "sampling": recipe.sampling,
            "fps": rate or None, "meaning": f"{recipe.words}; fps: that the stride is counted in, null for the video's",
        },
        "size": {
            "height": recipe.frame_size[0], "width": recipe.frame_size[1], "interpolation": recipe.interpolation,
            "meaning": "resized until height x width is just covered (the short side of square frames), then cropped",
        },
        "views": {
            "clips": recipe.clips, "crops": recipe.crops, "merge": recipe.merge,
            "meaning": "clips evenly spaced in time, crops along the longer side (one is central); outputs are merged",
        },
        "windows": dataclasses.asdict(windows) if windows else None,
        "outputs": {name: [batch, int(model.num_classes or 0)] for name in graph.outputs},
        "answer": {
            "kind": answer.kind, "activation": answer.activation,
            "nouns": objective.nouns if isinstance(objective, ActionRecognition) else 0,
        },
        "labels": list(model.labels) if model.labels else None,
    }  # fmt: skip


def write(folder: Path, model: Pretrained, graph: Graph, batch: str = "batch") -> None:
    """Write the file."""
    (folder / NAME).write_text(json.dumps(describe(model, graph, batch), indent=2, ensure_ascii=False) + "\n")


def read(folder: str | os.PathLike) -> Preprocessing:
    """What a folder's preprocessing.json says.

    Raises:
      WeightsError: when it is absent, or not as `describe` writes it.
    """
    path = Path(folder, NAME)
    try:
        return parse(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is not as vidjax export writes it: {error!r}; export the model again") from error


def parse(said: Any) -> Preprocessing:
    """What `describe` has written.

    Raises:
      KeyError, TypeError, ValueError: for anything else.
    """
    frames, size, views, answer = (said[name] for name in ("frames", "size", "views", "answer"))
    shown = said["input"]
    recipe = ClipRecipe(
        num_frames=int(frames["num_frames"]), stride=int(frames["stride"]),
        sampling=_known(frames["sampling"], tuple(SAMPLINGS)), image_size=(int(size["height"]), int(size["width"])),
        interpolation=_known(size["interpolation"], choices("data.interpolation")),
        mean=tuple(shown["mean"]), std=tuple(shown["std"]),
        clips=int(views["clips"]), crops=int(views["crops"]), merge=_known(views["merge"], tuple(MERGES)),
        windows=Windows(**said["windows"]) if said["windows"] else None,
    )  # fmt: skip
    labels = said["labels"]
    return Preprocessing(
        recipe,
        _known(answer["kind"], _KINDS),
        str(answer["activation"]),
        int(answer["nouns"]),
        tuple(map(str, labels)) if labels else None,
    )


def _known(word: str, words: tuple[str, ...]) -> str:
    if word not in words:
        raise ValueError(f"{word!r} is none of {', '.join(words)}")
    return word
