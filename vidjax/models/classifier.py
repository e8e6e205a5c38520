"""`ClipClassifier`, the base class of all families' classifiers: a linear head on the pooled features of clips."""

from typing import Generic, TypeVar

from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.spec import ClipSpec

Spec = TypeVar("Spec", bound=ClipSpec)  # the family's spec


class ClipClassifier(CompiledInit, Generic[Spec]):
    """A backbone with a linear head; `num_classes=0` omits the head.

    Each family defines two methods: `setup` builds the backbone and `self.head`, a `layers.Head`; `features` runs the
    backbone.
    """

    spec: Spec
    num_classes: int

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Classify normalised clips; see `from_patches` for the result."""
        self.spec.check_clips(clips)
        return self.from_patches(ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size), train)

    def from_patches(self, patches: Float[Array, "b n p"], train: bool = False) -> dict[str, Array]:
        """Classify clips from all their normalised cubes, flattened as by `ops.patchify`.

        Returns:
          tokens (b n d), time first; pooled (b d), the head's input; cls (b d), if there is a class token; logits
          (b num_classes), if there is a head. All are float32 except the tokens.
        """
        out = self.features(patches, train)
        return out | self.head(out["pooled"], train)

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """Compute the outputs of `from_patches` except logits; each family defines this."""
        raise NotImplementedError(f"{type(self).__name__} must define features(patches, train)")
