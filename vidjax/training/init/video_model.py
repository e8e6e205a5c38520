"""Initialise a video model from another run or from public weights, as fine-tuning does after pre-training."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.files import located
from vidjax.objectives.base import Part
from vidjax.training.mesh import place_like
from vidjax.weights import adapt, hub, pretrained
from vidjax.weights.label_map import BIAS, pick_classes
from vidjax.weights.rules import flatten, nest
from vidjax.weights.run_files import check_saved, is_run

_MUST_FIT = re.compile(r"^encoder/(?!norm/)")  # the trunk; heads, decoders and final norms may be new
_MUST_FIT_IF_THERE = "temporal/"  # ViViT's second encoder, which image models do not have


def init_video_model(
    params: Mapping, part: Part, source: str, *, mean: tuple[float, ...], std: tuple[float, ...], label_map: str = ""
) -> tuple[dict, str]:
    """Replace parameters with those of the same name in a run's latest checkpoint, or in another model.

    Learned positions for another number of frames or another resolution are resized as the family's authors resize
    them.

    Args:
      params: parameters of the part, with their shardings.
      source: the folder of a run, or anything else that `vidjax.from_pretrained` takes. From a run, the raw parameters
        are used, not their moving average; from a run with a teacher, the teacher's, unless `part.trained`.
      mean, std: normalisation of the new model's input.
      label_map: a label map (`vidjax.weights.label_map`) that selects the classes of a head; empty for none.

    Returns:
      The parameters with their shardings, and a sentence that says what was used, what was changed and what is new.

    Raises:
      ConfigError: when `source` is neither a run nor a model, it lacks an encoder parameter or has it in another shape,
        its temporal encoder has another depth, or the label map does not fit.
    """
    try:
        theirs, notes = pretrained.read_start(source, part.spec, (mean, std), trained=part.trained)
    except (ResumeError, WeightsError) as error:
        raise ConfigError(f"config.{part.key}: {error}") from error
    found, named = flatten(theirs), flatten(params)
    if label_map and BIAS in named:
        found, old = pick_classes(found, label_map, len(named[BIAS])), len(found.get(BIAS, ()))
        notes = (*notes, f"its head's classes, {len(named[BIAS])} of {old}, by {label_map}")
    fitting = {name for name, leaf in named.items() if name in found and found[name].shape == leaf.shape}
    for name in sorted(set(named) - fitting):
        if name.startswith(_MUST_FIT_IF_THERE) and name in found:
            depth, ours = (flat["temporal/blocks/norm1/scale"].shape[0] for flat in (found, named))
            raise ConfigError(
                f"config.{part.key}={source!r} has {depth} blocks in its temporal encoder, but the model has "
                f"{ours}; set config.model.spec.temporal_depth={depth}"
            )
        if _MUST_FIT.match(name):
            there = f"has shape {found[name].shape} there" if name in found else "is not there"
            raise ConfigError(
                f"config.{part.key}={source!r} does not fit model.name: {name} {named[name].shape} {there}; "
                "use the model size and patch size that it was trained with"
            )
    used = {name: place_like(found[name], leaf) if name in fitting else leaf for name, leaf in named.items()}
    new, unused = adapt.groups(set(named) - fitting), adapt.groups(set(found) - fitting)
    notes = (*notes, f"new: {new or 'none'}", f"not used: {unused or 'none'}")
    return nest(used), "; ".join(notes)


def check_source(key: str, source: str) -> None:
    """Refuse a missing checkpoint or a mistyped name before anything is read or compiled.

    Args:
      key: the configuration key, for the message.
      source: as for `init_video_model`; a hub id is not looked up.

    Raises:
      ConfigError: naming the key and the remedy.
    """
    try:
        if is_run(source):
            check_saved(source)
        elif not located(os.path.expanduser(source)).exists():
            hub.check_name(source)
    except (ResumeError, WeightsError) as error:
        raise ConfigError(f"config.{key}: {error}") from error
