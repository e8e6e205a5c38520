"""The vocabulary of a model with a text tower, from the files beside its weights."""

from __future__ import annotations

from vidjax.data.text_encoding import TextEncoder, holds_vocabulary, load_text_encoder
from vidjax.errors import WeightsError
from vidjax.files import Place
from vidjax.models.text_tower import TextTowerSpec


def read_text_encoder(folder: Place, tower: TextTowerSpec) -> TextEncoder | None:
    """Load the vocabulary in a folder; None if there is none.

    Raises:
      WeightsError: if it has more tokens than the tower.
      DataError: if a file is damaged.
    """
    if not holds_vocabulary(folder):
        return None
    encoder = load_text_encoder(folder, tower.context)
    if encoder.vocab_size > tower.vocab_size:
        raise WeightsError(
            f"the vocabulary in {folder} has {encoder.vocab_size} tokens, but the text tower has {tower.vocab_size}; "
            "use the vocabulary that the tower was trained with"
        )
    return encoder
