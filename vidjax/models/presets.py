"""Models by name: `build_model("videomae_base", num_classes=400)`.

A name is a family and a size, or `module:ATTR.SIZE` for a `Family` in a user's own module; `module:ATTR` is its first
size. A module of this package is a family if `zoo` has a module of the same name.
"""

import dataclasses
from typing import Any

import flax.linen as nn

from vidjax.errors import ConfigError, check_options, nearest
from vidjax.models.family import Family
from vidjax.models.spec import ClipSpec
from vidjax.registry import Registry, is_outside

FAMILIES: Registry[Family] = Registry(
    "vidjax.models", "FAMILY", Family, "a model family", listed_in="vidjax.models.zoo"
)


def model_names() -> tuple[str, ...]:
    """Return the names of all presets, family by family, small to large."""
    return tuple(f"{name}_{size}" for name, family in FAMILIES.items() for size in family.specs)


def family_of(name: str) -> tuple[str, str]:
    """Return the family and size of a preset: ("videomae", "base"), or ("my_models:TOY", "tiny").

    Raises:
      ConfigError: for an unknown name; the message suggests the nearest names.
    """
    if is_outside(name):
        family, size = _outside(name)
        sizes = FAMILIES.find(family).specs
        if size and size not in sizes:
            raise ConfigError(f"model {name!r}: {family} has no size {size!r}; choose one of {', '.join(sizes)}")
        return family, size or next(iter(sizes))
    if name not in model_names():
        raise ConfigError(f"model {name!r} is unknown; {nearest(name, model_names())}")
    family, size = name.split("_", 1)
    return family, size


def preset(name: str) -> ClipSpec:
    """Return the spec of a preset.

    Raises:
      ConfigError: as in `family_of`.
    """
    family, size = family_of(name)
    return FAMILIES.find(family).specs[size]


def build_model(name: str, *, num_classes: int | None = None, **overrides: Any) -> nn.Module:
    """Build a Linen module, not yet initialised; its `.spec` describes it.

    Args:
      name: one of `model_names()`, or, for a family outside vidjax, `module:ATTR` or `module:ATTR.SIZE`.
      num_classes: number of classes; 0 omits the head; None builds the family's pre-training module.
      overrides: fields of the spec, such as `num_frames=32` or `dtype="bfloat16"`.

    Raises:
      ConfigError: for an unknown name or field, for values that do not fit together, or if `num_classes` is None and
        the family has no pre-training module.

    Example:
      >>> model = vidjax.build_model("videomae_tiny", num_classes=5)
      >>> variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 64, 64, 3)))
      >>> jax.jit(model.apply)(variables, jnp.zeros((2, 8, 64, 64, 3)))["logits"].shape
      (2, 5)
      >>> vidjax.build_model("videomae_tiny", num_clases=5)
      Traceback (most recent call last):
      vidjax.errors.ConfigError: videomae_tiny has no option 'num_clases'; did you mean 'num_classes'?
    """
    family, spec = FAMILIES.find(family_of(name)[0]), preset(name)
    check_options(name, overrides, ["num_classes", *(field.name for field in dataclasses.fields(spec))])
    spec = spec.override(**overrides)
    if num_classes is not None and num_classes < 0:
        raise ConfigError(f"num_classes={num_classes} must be at least 0")
    return family.build(spec, num_classes)


def _outside(name: str) -> tuple[str, str]:
    """Split a name into `module:ATTR` and the size, which may be empty."""
    module, _, rest = name.partition(":")
    attribute, _, size = rest.partition(".")
    return f"{module}:{attribute}", size
