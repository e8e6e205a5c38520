"""What a model family is: the one description that each family's file ends with."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn

from vidjax.errors import ConfigError
from vidjax.models.spec import ClipSpec


@dataclasses.dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
      title: its name as the field writes it, such as "ViViT".
      specs: its sizes by name, small to large; `tiny` is for tests and smoke runs.
      classifier: module of (spec, num_classes); with `num_classes=0` it has no head.
      pretraining: module of (spec,) that is pre-trained, where the family has one of its own.
      encoder: makes, from (spec, taps), the encoder of the classifier with a method `hidden` that returns what the
        blocks numbered `taps` do, for feature alignment. It says whether `hidden` takes the `index` of some tokens, as
        a student must, and returns a class token and its attention: `takes_index`, `has_class_token`, `has_attention`.
        None where there is no such encoder.
      heading: of its part of docs/models.md, where that is more than the title.
    """

    title: str
    specs: Mapping[str, ClipSpec]
    classifier: type[nn.Module]
    pretraining: type[nn.Module] | None = None
    encoder: Callable[..., nn.Module] | None = None
    heading: str = ""

    @property
    def spec_type(self) -> type[ClipSpec]:
        """The class of its specs."""
        return type(next(iter(self.specs.values())))

    def build(self, spec: ClipSpec, num_classes: int | None) -> nn.Module:
        """The classifier of a spec; for None the pre-training module.

        Raises:
          ConfigError: when the family has no pre-training module.
        """
        if num_classes is not None:
            return self.classifier(spec, num_classes)
        if self.pretraining is None:
            raise ConfigError(
                f"{self.title} has no pre-training module of its own; give num_classes (0: without a head)"
                + (", or pre-train it with task=feature_alignment" if self.encoder is not None else "")
            )
        return self.pretraining(spec)
