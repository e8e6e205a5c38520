"""Recognise and describe the layouts of foreign checkpoints.

Each public module of `vidjax/weights/families` exports `LAYOUTS`, a tuple of `Layout`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Generic, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from vidjax.errors import WeightsError
from vidjax.models import FAMILIES, ClipSpec
from vidjax.models.video_text import VideoTextModel, VideoTextSpec
from vidjax.registry import names_in
from vidjax.weights.rules import Rule, State

if TYPE_CHECKING:
    from vidjax.models.gpt2 import GPT2Spec

_FILES = "vidjax.weights.families"
Spec = TypeVar("Spec", bound="ClipSpec | GPT2Spec")  # the spec of one family


@dataclasses.dataclass(frozen=True)
class Description(Generic[Spec]):
    """The model that a file holds.

    Attributes:
      family: name of the model's family in `vidjax.models.FAMILIES`, or "gpt2".
      spec: sizes and numerics of this source, from the shapes of its arrays and from its config.json.
      num_classes: number of classes; 0 without a head; None for the family's pre-training module.
      rules: map keys of the file to leaves of the parameter tree.
      mean, std: per channel, for pixels in [0, 1]; they normalise the module's input.
      merge: how the source merges the scores of several views: mean_softmax or sum_logits.
      ignore: regular expression for keys that are not read, such as buffers.
      fresh: regular expression for leaves that the file lacks and that are initialised; `notes` must mention them.
      labels: class names, when the source has them.
      notes: sentences for the user, such as a correction of config.json.
      left_open: fields of the spec that neither the arrays nor config.json give; the file's name may, see
        `vidjax.models.zoo.named_fields`.
      module: the module itself, for GPT-2, which takes no clips and is not in FAMILIES, and for a `VideoTextModel`;
        `spec` then describes its video tower.
      inputs: `jax.ShapeDtypeStruct`s of the arguments of `module`'s call.
    """

    family: str
    spec: Spec
    num_classes: int | None
    rules: tuple[Rule, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    merge: str = "mean_softmax"
    ignore: str = ""
    fresh: str = ""
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    left_open: tuple[str, ...] = ()
    module: nn.Module | None = None
    inputs: tuple[jax.ShapeDtypeStruct, ...] = ()

    def build(self) -> nn.Module:
        """Build the Linen module to which the parameters belong."""
        if self.module is not None:
            return self.module
        if isinstance(self.spec, ClipSpec):
            return FAMILIES.find(self.family).build(self.spec, self.num_classes)
        raise WeightsError(f"a {self.family} takes no clips: its description must hold the module")

    @property
    def texts(self) -> VideoTextSpec | None:
        """The spec of a model of videos and texts; None for any other model."""
        return self.module.spec if isinstance(self.module, VideoTextModel) else None

    def shapes(self) -> dict:
        """Return the module's parameters as `jax.ShapeDtypeStruct`s; nothing is computed."""
        inputs = self.inputs
        if not inputs and isinstance(self.spec, ClipSpec):
            inputs = example_inputs(self.spec, pretraining=self.num_classes is None)
        return jax.eval_shape(self.build().init, jax.random.key(0), *inputs)["params"]


@dataclasses.dataclass(frozen=True)
class Layout(Generic[Spec]):
    """The form in which one source stores the models of one family.

    Attributes:
      name: shown in messages, such as "TimeSformer, official".
      recognises: tells from the keys, and config.json or None, whether a file has this layout. Wrappers (model, module,
        model_state, teacher, state_dict) and the prefixes "module." and "backbone." have been removed.
      describe: makes a `Description` from the arrays, and config.json or None; raises WeightsError if the two
        contradict each other.
      family: for export, the family's name in `vidjax.models.FAMILIES`.
      rules: for export, returns the rules of a model with a spec and number of classes (as in `Description`); None if
        the layout cannot be written.
      whole_rules: for export, returns the rules of a model of videos and texts; None if the layout holds no such models
        or cannot be written.
      config: for export, returns the config.json, without id2label, with which `transformers` loads the exported
        arrays; raises WeightsError for a variant that `transformers` lacks. None if `transformers` does not use this
        layout.
    """

    name: str
    recognises: Callable[[Collection[str], dict | None], bool]
    describe: Callable[[State, dict | None], Description[Spec]]
    config: Callable[[Description[Spec]], dict] | None = None
    family: str = ""
    rules: Callable[[Spec, int | None], tuple[Rule, ...]] | None = None
    whole_rules: Callable[[VideoTextSpec], tuple[Rule, ...]] | None = None

    def can_write(self, described: Description) -> bool:
        """Return whether this layout can write the described model, judging by its family and text tower."""
        rules = self.rules if described.texts is None else self.whole_rules
        return self.family == described.family and rules is not None

    def rules_to_write(self, described: Description[Spec]) -> tuple[Rule, ...]:
        """Return the rules that write a model.

        Raises:
          WeightsError: if this layout cannot be written.
        """
        if described.texts is not None and self.whole_rules is not None:
            return self.whole_rules(described.texts)
        if self.rules is None:
            raise WeightsError(f"the layout {self.name!r} can be read but not written")
        return self.rules(described.spec, described.num_classes)


@functools.cache
def all_layouts() -> tuple[Layout, ...]:
    """Return every layout of every family."""
    return tuple(layout for name in names_in(_FILES) for layout in importlib.import_module(f"{_FILES}.{name}").LAYOUTS)


def recognise(keys: Collection[str], config: dict | None, source: str) -> Layout:
    """Find the layout of a file.

    Raises:
      WeightsError: if no layout or several layouts recognise the keys; the message names `source` and the layouts.
    """
    found = [layout for layout in all_layouts() if layout.recognises(keys, config)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(layout.name for layout in found)
        raise WeightsError(f"{source} could be {names}; put the model's config.json, with its model_type, beside it")
    some = ", ".join(sorted(keys)[:3]) or "no keys at all"
    names = "; ".join(layout.name for layout in all_layouts())
    raise WeightsError(
        f"{source} holds {len(keys)} arrays ({some}, ...) that match no known layout; the layouts are {names}"
    )


def two_tower_inputs(spec: VideoTextSpec) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Return the shapes of one clip and one text, which initialise a `VideoTextModel`."""
    return (*example_inputs(spec.video, pretraining=False), jax.ShapeDtypeStruct((1, spec.text.context), jnp.int32))


def example_inputs(spec: ClipSpec, *, pretraining: bool) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Return the shapes of inputs that initialise a module.

    These are one clip and, for pre-training, the indices of visible and of masked tokens.
    """
    clips = jax.ShapeDtypeStruct((1, *spec.clip_shape), jnp.float32)
    if not pretraining:
        return (clips,)
    return clips, jax.ShapeDtypeStruct((1, 1), jnp.int32), jax.ShapeDtypeStruct((1, spec.num_tokens - 1), jnp.int32)
