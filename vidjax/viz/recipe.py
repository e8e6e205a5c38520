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
    return [Heading("Recipe"), Table(("", ""), rows)] if rows else []


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
        yield "data", f"{videos.get('name')}{where}{f', {count} training videos' if count else ''}"
        yield (
            "clips",
            (
                f"{videos.get('num_frames')} frames, {_distance(videos)}, {videos.get('image_size')} pixels; "
                f"{videos.get('sampling')} sampling, {videos.get('crop')} crop"
            ),
        )
        yield "batch", f"{videos.get('global_batch')} videos x {videos.get('clips_per_decode')} clips"
    if optim:
        yield (
            "optimiser",
            (
                f"{optim.get('name')}, {optim.get('schedule')} schedule, base learning rate {optim.get('base_lr')} per "
                f"{optim.get('reference_batch')} clips, weight decay {optim.get('weight_decay')}, layer decay "
                f"{optim.get('layer_decay')}"
            ),
        )
    if train:
        yield "length", f"{train['steps']} steps" if train.get("steps") else f"{train.get('epochs')} epochs"
    if scored and "validation" in data:
        yield "scored by", f"{scored.get('clips')} clips x {scored.get('crops')} crops, {scored.get('merge')}"
    yield "seed", str(config.get("seed", ""))


def _distance(videos: Mapping[str, Any]) -> str:
    """How far apart the frames of a clip are."""
    return f"{fps:g} per second" if (fps := videos.get("fps")) else f"stride {videos.get('stride')}"
