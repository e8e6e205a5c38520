"""Initialise a frozen teacher from a trained model, which must be complete and take clips of the same size."""

from __future__ import annotations

from collections.abc import Mapping

from vidjax.config import Config
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.models import ClipSpec
from vidjax.models.vjepa2 import VJEPA2Spec
from vidjax.objectives.base import Part
from vidjax.training.mesh import place_like
from vidjax.weights import Pretrained, pretrained
from vidjax.weights.adapt import adapt
from vidjax.weights.pretrained import other_numerics, other_pixels
from vidjax.weights.rules import flatten, nest

_BIASES = ("head/bias", "classes/bias")  # a bias has one entry per class


def init_teacher(params: Mapping, part: Part, source: str, config: Config) -> tuple[dict, str]:
    """Replace the parameters of a teacher with those that `vidjax.from_pretrained` would return for the source.

    Args:
      params: parameters of the part, with their shardings.
      source: anything that `vidjax.from_pretrained` takes; for a run, its eval.checkpoint selects the checkpoint,
        and the moving average is used if the run keeps one.

    Returns:
      The parameters with their shardings, and a sentence that says what was used.

    Raises:
      ConfigError: when the source cannot be read, or differs in model, classes or clip size.
    """
    named, key = flatten(params), f"config.{part.key}={source!r}"
    classes = next((len(named[bias]) for bias in _BIASES if bias in named), 0)
    try:
        model = pretrained.load(source, tower=True)
    except (ResumeError, WeightsError) as error:
        raise ConfigError(f"config.{part.key}: {error}") from error
    spec, notes = part.spec, ()
    if type(model.spec) is not type(spec) or not isinstance(spec, ClipSpec):
        theirs, ours = (type(of).__name__.removesuffix("Spec") for of in (model.spec, spec))
        raise ConfigError(f"{key} holds a {theirs}, but config.teacher.name={config.teacher.name!r} is a {ours}")
    if classes and model.num_classes != classes:
        there = f"{model.num_classes} classes" if model.num_classes else "no classes"
        raise ConfigError(
            f"{key} has {there}, but the data has {classes}; name a teacher with these classes, or learn from its "
            "tokens with teacher.logit_weight=0, teacher.label_weight=1 and teacher.token_weight=1"
        )
    _check_clips(model, spec, key)
    tree = model.params
    if not classes:
        _, tree, notes = adapt(model.family, model.module, tree, num_classes=0)
    found = flatten(tree)
    for name, leaf in sorted(named.items()):
        if name not in found or found[name].shape != leaf.shape:
            there = f"has shape {found[name].shape} there" if name in found else "is not there"
            raise ConfigError(
                f"{key} does not fit config.teacher.name={config.teacher.name!r}: {name} {leaf.shape} {there}; set "
                "teacher.name to the size of these weights, and teacher.spec to the fields in which they differ"
            )
    used = nest({name: place_like(found[name], leaf) for name, leaf in named.items()})
    pixels = other_pixels((model.mean, model.std), (config.data.mean, config.data.std))
    notes = (*model.notes, *notes, *pixels, *other_numerics(model.spec, spec))
    return used, "; ".join((f"parameters of {source}", *notes))


def _check_clips(model: Pretrained, spec: ClipSpec, key: str) -> None:
    """Refuse clips that differ in size from those the teacher was trained on; rotary positions suit all sizes."""
    if model.spec.clip_shape == spec.clip_shape or isinstance(spec, VJEPA2Spec):
        return
    (t, h, w, _), here = model.spec.clip_shape, spec.clip_shape
    raise ConfigError(
        f"{key} takes clips of {t} frames of {h} x {w} pixels, but would get {here[0]} frames of {here[1]} x "
        f"{here[2]}; set data.num_frames={t} and teacher.image_size={h}"
    )
