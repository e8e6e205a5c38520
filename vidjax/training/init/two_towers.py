"""Initialise a video tower and a text tower from one model that has both, or from two models."""

from __future__ import annotations

from collections.abc import Mapping

from vidjax.config import Config
from vidjax.data.text_encoding import FILES, holds_vocabulary
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.models.spec import ClipSpec
from vidjax.models.video_text import VideoTextModel
from vidjax.objectives.base import Part
from vidjax.training.init.video_model import init_video_model
from vidjax.training.mesh import place_like
from vidjax.weights import pretrained
from vidjax.weights.read_run import read_module
from vidjax.weights.resize_positions import fit_positions
from vidjax.weights.rules import flatten, nest
from vidjax.weights.run_files import is_run

VIDEO, TEXT = "video", "text"


def init_two_towers(params: Mapping, config: Config, parts: tuple[Part, Part]) -> tuple[Mapping, list[str]]:
    """Replace the parameters of the towers with those of the checkpoints that their keys name, if any.

    If `init_from` names a model with both towers, all parameters come from that model, or only those of the video side
    if `contrastive.text_from` names another model. A tower's projection is taken too if its size is the same; otherwise
    the projection keeps its random values.

    Args:
      params: parameters of the new model, with their shardings.
      parts: the video tower and the text tower.

    Returns:
      The parameters with their shardings, and for each checkpoint a sentence that says what was taken from it.

    Raises:
      ConfigError: when a checkpoint does not fit, or lacks the tower that its key initialises.
    """
    notes = []
    video, text = parts
    if source := config.init_from:
        if both := _read_both(source, video):
            names = (VIDEO, "video_projection") if config.contrastive.text_from else tuple(params)
            _check_vocabulary(config, names, video, source)
            params, note = _use(params, both, names, video, source)
        else:
            _check_text(config, source)
            mean, std = config.data.mean, config.data.std
            tower, note = init_video_model(params[VIDEO], video, source, mean=mean, std=std)
            params = {**params, VIDEO: tower}
        notes.append(f"{VIDEO}: {note}")
    if source := config.contrastive.text_from:
        both = _read_both(source, text)
        if both is None:
            raise ConfigError(f"config.{text.key}={source!r} has no text tower; name a model that has one")
        params, note = _use(params, both, (TEXT, "text_projection"), text, source)
        notes.append(f"{TEXT}: {note}")
    return params, notes


def _read_both(source: str, part: Part) -> Mapping | None:
    """Read a video-text model, with positions fitted to the clips of `part`; None for a model without a text tower.

    From a run, the raw parameters are read, not their moving average.
    """
    try:
        if is_run(source):
            module = read_module(source)[1]
            theirs = pretrained.read_start(source, None)[0] if isinstance(module, VideoTextModel) else {}
        else:
            model = pretrained.load(source)
            module, theirs = model.module, model.params
    except (ResumeError, WeightsError) as error:
        raise ConfigError(f"config.{part.key}: {error}") from error
    if not isinstance(module, VideoTextModel):
        return None
    old, new = getattr(module.spec, part.name), part.spec
    if type(old) is not type(new):
        names = (type(of).__name__.removesuffix("Spec") for of in (old, new))
        raise ConfigError("config.{}={!r} has a {}, but the model has a {}".format(part.key, source, *names))
    if isinstance(old, ClipSpec) and isinstance(new, ClipSpec):
        theirs = {**theirs, VIDEO: fit_positions(theirs[VIDEO], old, new)[0]}
    return theirs


def _check_text(config: Config, source: str) -> None:
    """Refuse to freeze a text tower whose weights are random."""
    train = config.contrastive.train_text
    if train != "all" and not config.contrastive.text_from:
        raise ConfigError(
            f"config.contrastive.train_text={train} keeps the text tower's initial weights, but "
            f"config.init_from={source!r} has no text tower; name a model that has one as contrastive.text_from, or "
            "set contrastive.train_text=all"
        )


def _check_vocabulary(config: Config, names: tuple[str, ...], part: Part, source: str) -> None:
    """Refuse a pretrained text tower without its vocabulary; the run would learn a new one from the captions."""
    folders = (config.contrastive.tokenizer, config.contrastive.text_from, config.init_from)
    if TEXT in names and not any(folder and holds_vocabulary(folder) for folder in folders):
        raise ConfigError(
            f"config.{part.key}={source!r} has a text tower, but no vocabulary next to it; put its "
            f"{FILES[0]}, {FILES[1]} with {FILES[2]}, or {FILES[3]} into a folder and set config.contrastive.tokenizer "
            "to it"
        )


def _use(params: Mapping, theirs: Mapping, names: tuple[str, ...], part: Part, source: str) -> tuple[Mapping, str]:
    """Replace the subtrees `names` of `params` with those of `theirs`; only projections may differ in size."""
    ours, found = flatten({name: params[name] for name in names if name in params}), flatten(theirs)
    fitting = {path for path, leaf in ours.items() if path in found and found[path].shape == leaf.shape}
    for path in sorted(ours.keys() - fitting):
        if path.startswith((f"{VIDEO}/", f"{TEXT}/")):
            there = f"has shape {found[path].shape} there" if path in found else "is not there"
            key = "model.name" if path.startswith(f"{VIDEO}/") else "contrastive.text, vocab_size and num_tokens"
            raise ConfigError(
                f"config.{part.key}={source!r} does not fit: {path} {ours[path].shape} {there}; set {key} as "
                "in that model"
            )
    new = ", ".join(sorted({path.partition("/")[0] for path in ours.keys() - fitting}))
    used = {path: place_like(found[path], leaf) if path in fitting else leaf for path, leaf in ours.items()}
    return {**params, **nest(used)}, f"{', '.join(names)} of {source}; new: {new or 'none'}"
