"""`Family`, the description of a model family; each family's file ends with one."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn

from vidjax.errors import ConfigError
from vidjax.models.spec import ClipSpec


@dataclasses.dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
      title: the name used in papers, such as "ViViT".
      specs: its sizes by name, small to large; `tiny` is for tests and smoke runs.
      classifier: module class, called with (spec, num_classes); `num_classes=0` omits the head.
      pretraining: module class, called with (spec,), if the family has its own pre-training.
      encoder: called with (spec, taps), returns the classifier's encoder for feature alignment; None if the family has
        none. The encoder's method `hidden` returns the outputs of the blocks `taps`. Its attribute `takes_index` tells
        whether `hidden` can encode only the tokens of an `index`, as a student needs; `has_class_token` and
        `has_attention` tell whether `hidden` returns a class token and the class token's attention.
      sampling, interpolation: how clips are sampled and resized for weights with no published result on videos; keys of
        `vidjax.data.clips.sampling.SAMPLINGS` and `vidjax.data.clips.resize.INTERPOLATIONS`.
      heading: heading of its section in docs/models.md, if longer than the title.
    """

    title: str
    specs: Mapping[str, ClipSpec]
    classifier: type[nn.Module]
    pretraining: type[nn.Module] | None = None
    encoder: Callable[..., nn.Module] | None = None
    sampling: str = "dense"
    interpolation: str = "bilinear"
    heading: str = ""

    @property
    def spec_type(self) -> type[ClipSpec]:
        """The class of the family's specs."""
        return type(next(iter(self.specs.values())))

    def build(self, spec: ClipSpec, num_classes: int | None) -> nn.Module:
        """Build the classifier of a spec, or the pre-training module if `num_classes` is None.

        Raises:
          ConfigError: if the family has no pre-training module.
        """
        if num_classes is not None:
            return self.classifier(spec, num_classes)
        if self.pretraining is None:
            raise ConfigError(
                f"{self.title} has no pre-training module of its own; give num_classes (0 for no head)"
                + (
                    ", or pre-train it with task=feature_alignment"
                    if getattr(self.encoder, "takes_index", False)
                    else ""
                )
            )
        return self.pretraining(spec)
