"""What the classifiers of all families share: clips in, a linear head on pooled features, one dict out."""

from typing import Generic, TypeVar

from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models.compiled_init import CompiledInit
from vidjax.models.spec import ClipSpec

Spec = TypeVar("Spec", bound=ClipSpec)  # of the family


class ClipClassifier(CompiledInit, Generic[Spec]):
    """A backbone with a linear head; with `num_classes=0` without the head.

    A family's `setup` makes the backbone and `self.head`, a `layers.Head`; its `features` are what they work on.
    """

    spec: Spec
    num_classes: int

    def __call__(self, clips: Float[Array, "b t h w c"], train: bool = False) -> dict[str, Array]:
        """Classify normalised clips; see `from_patches` for the result."""
        self.spec.check_clips(clips)
        return self.from_patches(ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size), train)

    def from_patches(self, patches: Float[Array, "b n p"], train: bool = False) -> dict[str, Array]:
        """Classify all the normalised cubes of clips, as `ops.patchify` flattens them.

        Returns:
          tokens (b n d), time first; pooled (b d), what the head sees; cls (b d), where there is a class token; logits
          (b num_classes), if there is a head; all but the tokens float32.
        """
        out = self.features(patches, train)
        return out | self.head(out["pooled"], train)

    def features(self, patches: Float[Array, "b n p"], train: bool) -> dict[str, Array]:
        """The result of `from_patches` without logits; each family defines it."""
        raise NotImplementedError(f"{type(self).__name__} must define features(patches, train)")
