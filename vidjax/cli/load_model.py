"""The model that a verb is given with --model: read, and refused where it cannot do what the verb asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidjax.cli.terminal import say
from vidjax.errors import WeightsError
from vidjax.progress import progress
from vidjax.training.compile_cache import use_compile_cache

if TYPE_CHECKING:
    from vidjax.objectives import MaskedAutoencoding
    from vidjax.weights import Pretrained

HELP = "the folder of a run, a hub id, a folder of transformers, or a checkpoint file"


def load(source: str) -> Pretrained:
    """Read a model; its notes go to standard error.

    Raises:
      WeightsError: when `source` is no model.
    """
    with progress(f"reading {source}"):
        use_compile_cache()
        import vidjax

        model = vidjax.from_pretrained(source)
    for note in model.notes:
        say(f"note: {note}")
    return model


def check_classifier(model: Pretrained, source: str) -> None:
    """Refuse a model that gives no classes, and say what it is good for."""
    if model.num_classes:
        return
    if is_captioner(model):
        raise WeightsError(f"{source} is a captioner, which knows no classes; describe with `vidjax caption`")
    if is_autoencoder(model):
        raise WeightsError(
            f"{source} is a masked autoencoder, which knows no classes; `vidjax reconstruct` shows what it has "
            "learned, and fine-tuning with --config.init_from makes a classifier of it"
        )
    raise WeightsError(f"{source} holds a {model.family} without classes to predict; give a fine-tuned classifier")


def check_autoencoder(model: Pretrained, source: str) -> MaskedAutoencoding:
    """The objective of a model that reconstructs; refuses another, and says what it is good for."""
    from vidjax.objectives import MaskedAutoencoding

    if isinstance(model.objective, MaskedAutoencoding) and is_autoencoder(model):
        return model.objective
    what, use = (" classifier", "classify with `vidjax predict`, or ") if model.num_classes else ("", "")
    raise WeightsError(
        f"{source} holds a {model.family}{what}, which has no decoder to reconstruct with; {use}give a VideoMAE as it "
        "was pre-trained, such as MCG-NJU/videomae-base"
    )


def check_captioner(model: Pretrained, source: str) -> None:
    """Refuse a model that generates no captions."""
    if not is_captioner(model):
        raise WeightsError(
            f"{source} holds a {model.family} that generates no captions; give a run of task=captioning, such as that "
            "of configs/motion_caption.py"
        )


def is_autoencoder(model: Pretrained) -> bool:
    """Whether it was pre-trained to reconstruct and still has its decoder."""
    from vidjax.objectives import MaskedAutoencoding

    return isinstance(model.objective, MaskedAutoencoding) and "decoder" in model.params


def is_captioner(model: Pretrained) -> bool:
    """Whether it generates captions."""
    from vidjax.objectives import Captioning

    return isinstance(model.objective, Captioning)
