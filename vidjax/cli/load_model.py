"""Load the model of --model and check that it can do what the verb needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidjax.cli.terminal import say
from vidjax.errors import WeightsError
from vidjax.progress import progress
from vidjax.training.compile_cache import use_compile_cache

if TYPE_CHECKING:
    from vidjax.objectives import MaskedAutoencoding
    from vidjax.weights import Pretrained

HELP = "a run's folder, a hub id, a transformers folder, or a checkpoint file"


def load(source: str) -> Pretrained:
    """Load a model and print its notes to standard error.

    Raises:
      WeightsError: when `source` is not a model.
    """
    with progress(f"reading {source}"):
        use_compile_cache()
        import vidjax

        model = vidjax.from_pretrained(source)
    for note in model.notes:
        say(f"note: {note}")
    return model


def check_classifier(model: Pretrained, source: str) -> None:
    """Reject a model without classes, and name the verb that can use it."""
    if model.num_classes:
        return
    if is_captioner(model):
        raise WeightsError(f"{source} is a captioner, which has no classes; use `vidjax caption`")
    if is_autoencoder(model):
        raise WeightsError(
            f"{source} is a masked autoencoder, which has no classes; see what it learned with `vidjax reconstruct`, "
            "or fine-tune it into a classifier with --config.init_from"
        )
    if reads_texts(model):
        raise WeightsError(
            f"{source} has a text tower instead of classes; name the classes with `vidjax predict --classes`"
        )
    raise WeightsError(f"{source} holds a {model.family} without classes to predict; give a fine-tuned classifier")


def check_autoencoder(model: Pretrained, source: str) -> MaskedAutoencoding:
    """Return the objective of a model that reconstructs; reject others, and name the verb that can use them."""
    from vidjax.objectives import MaskedAutoencoding

    if isinstance(model.objective, MaskedAutoencoding) and is_autoencoder(model):
        return model.objective
    what, use = (" classifier", "classify with `vidjax predict`, or ") if model.num_classes else ("", "")
    raise WeightsError(
        f"{source} holds a {model.family}{what}, which has no decoder to reconstruct with; {use}give a pre-trained "
        "VideoMAE, such as MCG-NJU/videomae-base"
    )


def check_captioner(model: Pretrained, source: str) -> None:
    """Reject a model that does not generate captions."""
    if not is_captioner(model):
        raise WeightsError(
            f"{source} holds a {model.family} that generates no captions; give a run of task=captioning, such as one "
            "of configs/motion_caption.py"
        )


def is_autoencoder(model: Pretrained) -> bool:
    """Whether a model was pre-trained to reconstruct and still has its decoder."""
    from vidjax.objectives import MaskedAutoencoding

    return isinstance(model.objective, MaskedAutoencoding) and "decoder" in model.params


def is_captioner(model: Pretrained) -> bool:
    """Whether a model generates captions."""
    from vidjax.objectives import Captioning

    return isinstance(model.objective, Captioning)


def reads_texts(model: Pretrained) -> bool:
    """Whether a model has a text tower, so that classes can be given in words."""
    from vidjax.models.video_text import VideoTextModel

    return isinstance(model.module, VideoTextModel)
