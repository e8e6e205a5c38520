"""A table with the recipe of a run, from its config.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vidjax.viz.document import Block, Heading, Table


def recipe_blocks(config: Mapping[str, Any], data: Mapping[str, Any]) -> list[Block]:
    """The "Recipe" section of a report; empty without a configuration.

    Args:
      config: the saved configuration; missing keys are skipped.
      data: the content of data.json.
    """
    rows = [[name, words] for name, words in _rows(config, data) if words]
    return [Heading("Recipe"), Table(("setting", "value"), rows)] if rows else []


def _rows(config: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    model, videos, optim, train, scored = (
        config.get(section, {}) for section in ("model", "data", "optim", "train", "eval")
    )
    if not model:
        return
    spec = ", ".join(f"{name} {value}" for name, value in model.get("spec", {}).items())
    yield "model", f"{model.get('name')}{f' ({spec})' if spec else ''}, {model.get('dtype', '')}"
    yield "starts from", config.get("init_from") or "random weights"
    if config.get("task") == "masked_autoencoding":
        yield "hidden", f"{model.get('mask_ratio', 0):.0%} of the cubes, {model.get('mask')} mask"
    if videos:
        count = data.get("train", {}).get("videos")
        where = f" at {videos['root']}" if videos.get("root") else ""
        number = f", {_counted(count, 'training video')}" if count else ""
        mixture = _mixture(videos)
        yield "data", f"{mixture}{number}" if mixture else f"{videos.get('name')}{where}{number}"
        yield (
            "clips",
            (
                f"{videos.get('num_frames')} frames, {_distance(videos)}, {videos.get('image_size')} pixels; "
                f"{videos.get('sampling')} sampling, {videos.get('crop')} crop"
            ),
        )
        batch, clips = videos.get("global_batch"), videos.get("clips_per_decode") or 1
        yield "batch", _counted(batch, "video") + (f" x {clips} clips" if clips > 1 else "")
    if optim:
        yield (
            "optimiser",
            (
                f"{optim.get('name')}, {optim.get('schedule')} schedule, base learning rate {optim.get('base_lr')} per "
                f"{_counted(optim.get('reference_batch'), 'video')}, weight decay {optim.get('weight_decay')}"
                + (f", layer decay {optim['layer_decay']}" if optim.get("layer_decay", 1.0) != 1 else "")
            ),
        )
    if train:
        steps, epochs = train.get("steps"), train.get("epochs") or 0
        yield "length", _counted(steps, "step") if steps else _counted(f"{epochs:g}", "epoch")
    if scored and "validation" in data:
        views = f"{_counted(scored.get('clips'), 'clip')} x {_counted(scored.get('crops'), 'crop')}"
        yield "scored by", f"{views} of each video, merged by {scored.get('merge')}"
    yield "seed", str(config.get("seed", ""))


def _distance(videos: Mapping[str, Any]) -> str:
    """How far apart the frames of a clip are."""
    return f"{fps:g} per second" if (fps := videos.get("fps")) else f"stride {videos.get('stride')}"


def _counted(number: Any, noun: str) -> str:
    """A number with its noun, such as "1 step" or "20 steps"."""
    return f"{number} {noun}{'s' * (str(number) != '1')}"


def _mixture(videos: Mapping[str, Any]) -> str:
    """The sources of a mixture and their shares; empty without one."""
    weights = {name: source.get("weight", 1.0) for name, source in videos.get("mixture", {}).items()}
    shares = ", ".join(f"{name} {weight / sum(weights.values()):.3g}" for name, weight in weights.items() if weight)
    return f"a mixture ({shares})" if shares else ""
