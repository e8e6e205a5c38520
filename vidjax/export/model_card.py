"""Write a model card: a description of the model, how to load it, its training data, recipe and results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax

from vidjax.config import Config, SourceConfig
from vidjax.data.mixtures import used_sources
from vidjax.errors import printable
from vidjax.files import located, read_json
from vidjax.models import FAMILIES
from vidjax.objectives import MaskedAutoencoding
from vidjax.weights import Pretrained
from vidjax.weights.run_files import RESULTS

_RECIPE = {  # the configuration keys that readers look for first
    "initial weights": "init_from",
    "steps": "train.steps",
    "epochs": "train.epochs",
    "videos per step": "data.global_batch",
    "optimiser": "optim.name",
    "base learning rate": "optim.base_lr",
    "reference batch of that rate": "optim.reference_batch",
    "weight decay": "optim.weight_decay",
    "seed": "seed",
}
_PER_CLASS = ("eval/precision/", "eval/recall/", "eval/f1/")
_SHOWN = 40  # class names listed


def write(model: Pretrained, name: str, license: str, *, transformers: bool) -> str:
    """Return the text of README.md.

    Args:
      name: repository on the hub.
      license: the hub's name of the licence, or empty.
      transformers: whether `transformers` loads the weights.
    """
    parts = [_head(model, license), f"# {name.split('/')[1]}", _what(model), _loading(model, name, transformers)]
    parts += [_data(model), _training(model), _figures(model), _classes(model)]
    stated = f"`{license}`." if license else "Not stated. It depends on the training data and the initial weights."
    return "\n\n".join([part for part in [*parts, f"## Licence\n\n{stated}"] if part]) + "\n"


def _head(model: Pretrained, license: str) -> str:
    lines = ["library_name: vidjax", "tags:", "- video", "- jax", f"- {model.family}"]
    if model.num_classes:
        lines.insert(1, "pipeline_tag: video-classification")
    if license:
        lines.insert(0, f"license: {license}")
    return "\n".join(["---", *lines, "---"])


def _what(model: Pretrained) -> str:
    millions = sum(leaf.size for leaf in jax.tree.leaves(model.params)) / 1e6
    height, width = model.clips.frame_size
    role = f"predicts {model.num_classes} classes" if model.num_classes else "computes features of videos"
    if isinstance(model.objective, MaskedAutoencoding):
        role = "reconstructs masked videos"
    title = FAMILIES.find(model.family).title
    return (
        f"A {title} with {millions:.1f} M parameters that {role}. Its input is {model.clips.words}, "
        f"of {height} x {width} pixels. Made with [vidjax](https://github.com/vidjax/vidjax)."
    )


def _loading(model: Pretrained, name: str, transformers: bool) -> str:
    verb = "predict" if model.num_classes else "embed"
    lines = ["import vidjax", "", f'model = vidjax.from_pretrained("{name}")', f'model.{verb}("video.mp4")']
    text = "## How to load it\n\n" + _code("python", lines)
    if not transformers:
        return text
    pretraining = isinstance(model.objective, MaskedAutoencoding)
    kind = "ForVideoClassification" if model.num_classes else "ForPreTraining" if pretraining else ""
    auto = f"AutoModel{kind}"
    lines = [f"from transformers import {auto}", "", f'model = {auto}.from_pretrained("{name}")']
    remark = "`preprocessing.json` records how clips are taken; `transformers` does not read it."
    return f"{text}\n\nWith PyTorch:\n\n{_code('python', lines)}\n\n{remark}"


def _data(model: Pretrained) -> str:
    if not isinstance(model.config, Config):
        return ""
    sources, task = used_sources(model.config.data), printable(model.config.task)
    data = f"a mixture of {_sources(sources)}" if sources else f"the data set `{printable(model.config.data.name)}`"
    return f"## Data\n\nTrained on {data} for the task `{task}`. State here where the videos come from."


def _sources(sources: Mapping[str, SourceConfig]) -> str:
    """List the sources of a mixture with their data sets and shares."""
    total = sum(source.weight for source in sources.values())
    named = {name: f"`{printable(source.name)}`, {source.weight / total:.3g}" for name, source in sources.items()}
    return ", ".join(f"{printable(name)} ({about})" for name, about in named.items())


def _training(model: Pretrained) -> str:
    if not isinstance(model.config, Config):
        return ""
    rows = {title: _value(model.config, key) for title, key in _RECIPE.items()}
    rows.pop("epochs" if model.config.train.steps else "steps")
    return "## Recipe\n\n" + _table("setting", {title: value for title, value in rows.items() if value})


def _figures(model: Pretrained) -> str:
    if not isinstance(model.config, Config):
        return ""
    results = read_json(located(model.source) / RESULTS) or {}
    rows = {
        name.removeprefix("eval/"): f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in results.items()
        if not name.startswith(_PER_CLASS) and _is_figure(value)
    }
    return "## Results\n\nFrom the run's evaluation (`results.json`).\n\n" + _table("metric", rows) if rows else ""


def _is_figure(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _classes(model: Pretrained) -> str:
    if not model.labels:
        return ""
    names = ", ".join(printable(label) for label in model.labels[:_SHOWN])
    more = f" and {len(model.labels) - _SHOWN} more" if len(model.labels) > _SHOWN else ""
    return f"## Classes\n\n{names}{more}"


def _value(config: Config, key: str) -> str:
    found: Any = config
    for part in key.split("."):
        found = getattr(found, part)
    text = printable(str(found))
    return text.rstrip("/").rsplit("/", 1)[-1] if text.startswith(("/", "~")) else text  # hide local folders


def _table(title: str, rows: dict[str, str]) -> str:
    return "\n".join([f"| {title} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _code(language: str, lines: list[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])
