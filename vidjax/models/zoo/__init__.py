"""Published results of each preset and its computed costs: the facts behind `vidjax models`.

Costs are computed from the modules and specs. Only figures that others have published are typed in, with their source.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from vidjax.models.presets import FAMILIES, build_model, family_of
from vidjax.models.spec import ClipSpec
from vidjax.models.zoo_types import CLASSES, NOTES, Published, Result
from vidjax.registry import Registry

__all__ = [
    "CLASSES",
    "NOTES",
    "ZOO",
    "Published",
    "Result",
    "count_params",
    "describe",
    "named_fields",
    "names_weights",
    "published",
    "usual_clip",
]

# Published facts of each family, by size.
ZOO: Registry[dict[str, Published]] = Registry("vidjax.models.zoo", "PUBLISHED", dict, "a model family")
_FILES = (".pth", ".pyth", ".pt", ".npz")  # the authors' files, recognised by name
_CLASSES = 400  # for a preset without published results


def published(name: str) -> Published:
    """Return the published facts of a preset; empty if there are none, as for our tiny presets."""
    family, size = family_of(name)
    return ZOO.get(family, {}).get(size, Published())


@functools.cache  # tracing a module takes a moment
def count_params(name: str, num_classes: int | None, **overrides: Any) -> int:
    """Count the parameters of a model without allocating them.

    Args:
      num_classes: as in `build_model`; None counts the pre-training module.
      overrides: fields of the spec.
    """
    module = build_model(name, num_classes=num_classes, **overrides)
    inputs = [jax.ShapeDtypeStruct((1, *module.spec.clip_shape), jnp.float32)]
    if num_classes is None:
        tokens = module.spec.num_tokens
        inputs += [jax.ShapeDtypeStruct((1, count), jnp.int32) for count in (1, tokens - 1)]
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def describe(name: str) -> dict[str, Any]:
    """Describe a preset in plain values, for a table or JSON: its computed costs and published facts.

    Costs are those of the classifier for the data set of the main result. `results` has the published results, the main
    one first, each with the cost of one view at that result's number of frames and frame size. A value is None if no
    source gives it.
    """
    facts = published(name)
    main = facts.results[0] if facts.results else None
    classes = CLASSES[main.data] if main else _CLASSES
    overrides = dict(main.overrides) if main else {}
    spec = build_model(name, num_classes=classes, **overrides).spec
    return {
        "name": name,
        "family": family_of(name)[0],
        "params": count_params(name, classes, **overrides),
        "gmacs": _gmacs(spec, classes),
        "num_classes": classes,
        "num_frames": spec.num_frames,
        "image_size": list(spec.frame_size),
        "stride": main and main.stride,
        "clips": main and main.clips,
        "crops": main and main.crops,
        "published_params_millions": facts.params,
        "results": [_result(name, result) for result in facts.results],
        "pretrained": [{"weights": weights, "what": what} for weights, what in facts.pretrained],
        "retrieval": [dataclasses.asdict(found) for found in facts.retrieval],
    }


def usual_clip(family: str, spec: ClipSpec, num_classes: int, source: str = "") -> Result | None:
    """Return the published result closest to a classifier; its way of sampling videos also suits the classifier.

    Candidates are results with a known stride. Results whose weights are named by `source` come first, then those with
    the same number of classes, the same number of frames, and the fewest differing spec fields; the order of the tables
    decides ties. The result is None if there are no candidates.
    """
    results = [(size, result) for size, facts in ZOO.get(family, {}).items() for result in facts.results]

    def unlike(candidate: tuple[str, Result]) -> tuple[bool, bool, bool, int]:
        size, result = candidate
        preset = FAMILIES[family].specs[size]
        frames = result.overrides.get("num_frames", preset.num_frames)
        return (
            not names_weights(source, result.weights),
            CLASSES[result.data] != num_classes,
            frames != spec.num_frames,
            len(spec.differences(preset)),
        )

    stated = [candidate for candidate in results if candidate[1].stride is not None]
    return min(stated, key=unlike)[1] if stated else None


def named_fields(family: str, source: str) -> dict[str, Any]:
    """Return the published spec fields of the weights that a source names; empty if it names none."""
    for size, facts in ZOO.get(family, {}).items():
        named = [(result.weights, result.overrides) for result in facts.results]
        for weights, overrides in [*named, *((weights, {}) for weights, _ in facts.pretrained)]:
            if names_weights(source, weights):
                preset = FAMILIES[family].specs[size]
                return {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)} | {**overrides}
    return {}


def names_weights(source: str, weights: str) -> bool:
    """Return whether `source` is `weights` (see `Result.weights`) or a path to the authors' file of that name."""
    ours, theirs = pathlib.PurePath(source), pathlib.PurePath(weights)
    return bool(weights) and (source == weights or (theirs.suffix in _FILES and ours.name == theirs.name))


def _result(name: str, result: Result) -> dict[str, Any]:
    classes, overrides = CLASSES[result.data], dict(result.overrides)
    spec = build_model(name, num_classes=classes, **overrides).spec
    values = dataclasses.asdict(result) | {"published_gmacs": result.gmacs}
    values |= {"gmacs": _gmacs(spec, classes), "num_frames": spec.num_frames, "image_size": list(spec.frame_size)}
    values["overrides"] = {key: value for key, value in overrides.items() if key not in ("num_frames", "image_size")}
    return values


def _gmacs(spec: ClipSpec, num_classes: int) -> float:
    """Return billions of multiply-accumulates per view, which papers call GFLOPs."""
    return round(spec.classifier_macs(num_classes) / 1e9, 3)
