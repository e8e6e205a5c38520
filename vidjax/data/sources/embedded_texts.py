"""Find the vocabulary of a text tower, and encode the captions of rows with it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
from jaxtyping import Integer

from vidjax.config import Config
from vidjax.data.in_place import placed
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.sources.tokenized import check_captions
from vidjax.data.text_encoding import FILES, TextEncoder, holds_vocabulary, learn_vocabulary, load_text_encoder
from vidjax.errors import ConfigError
from vidjax.files import Place


class EncodedCaptions(VideoSource):
    """The rows of another source with their captions encoded for a text tower.

    Attributes:
      encoder: the vocabulary.
      num_cut: number of captions with too many tokens, which are cut off; it is also logged.
    """

    annotation = CAPTIONS

    def __init__(self, source: VideoSource, config: Config):
        """Encode the captions of all rows.

        Raises:
          DataError: naming a row without a caption, or with an empty one; or as `find_text_encoder`.
          ConfigError: as `find_text_encoder`.
        """
        self.num_classes, self.name = source.num_classes, source.name
        self._source, self.reading = source, source.reading
        captions = [check_captions(source[index]) for index in range(len(source))]
        texts = [text for own in captions for text in own]
        self.encoder = find_text_encoder(config, lambda: texts)
        self._tokens = placed(self.encoder.encode(texts, truncate=True))
        self._starts = placed(np.cumsum([0, *map(len, captions)]))
        self.num_cut = _num_cut(self.encoder, texts, self._tokens)
        if self.num_cut:
            logging.getLogger("vidjax").warning(
                "%d of %d captions have more than contrastive.num_tokens=%d tokens and are cut off",
                self.num_cut, len(texts), config.contrastive.num_tokens,
            )  # fmt: skip
        self.content_id = content_id([source.content_id, self._tokens.shape, self._tokens.tobytes()])

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Row:
        index = range(len(self))[index]
        own = self._tokens[self._starts[index] : self._starts[index + 1]].tolist()
        return dataclasses.replace(self._source[index], tokens=tuple(map(tuple, own)))

    def row_labels(self) -> Integer[np.ndarray, " rows"]:
        return self._source.row_labels()


def find_text_encoder(
    config: Config, captions: Callable[[], Iterable[str]], workdir: Place | None = None
) -> TextEncoder:
    """Find the vocabulary of a contrastive run's text tower.

    It comes from the first of these places that holds one: the run in `workdir`; `contrastive.tokenizer`, which must
    hold one if it is set; `contrastive.text_from`; `init_from`. Otherwise it is learned from the captions of the
    training split.

    Args:
      captions: returns the captions of the training split.
      workdir: the folder of a run, which may hold its vocabulary already.

    Raises:
      ConfigError: if the vocabulary's size is not contrastive.vocab_size, or contrastive.text_from holds none.
      DataError: if contrastive.tokenizer is set, but neither it nor workdir holds a vocabulary, or if a file is
        damaged.
    """
    contrastive = config.contrastive
    named = (contrastive.tokenizer,) if contrastive.tokenizer else (contrastive.text_from, config.init_from)
    folders = (workdir, *named)
    found = next((folder for folder in folders if folder and holds_vocabulary(folder)), None)
    if found:
        encoder = load_text_encoder(found, contrastive.num_tokens)
    elif contrastive.tokenizer:
        encoder = load_text_encoder(contrastive.tokenizer, contrastive.num_tokens)  # raises a DataError
    elif contrastive.text_from:
        raise ConfigError(
            f"config.contrastive.text_from={contrastive.text_from!r} is not a folder with a vocabulary; set "
            f"config.contrastive.tokenizer to a folder with that text tower's vocabulary ({FILES[0]}, "
            f"{FILES[1]} with {FILES[2]}, or {FILES[3]})"
        )
    else:
        encoder = learn_vocabulary(captions(), contrastive.num_tokens, contrastive.vocab_size)
    if encoder.vocab_size != contrastive.vocab_size:
        raise ConfigError(
            f"the vocabulary in {found} has {encoder.vocab_size} tokens; set "
            f"config.contrastive.vocab_size={encoder.vocab_size} instead of {contrastive.vocab_size}"
        )
    return encoder


def _num_cut(encoder: TextEncoder, texts: list[str], tokens: Integer[np.ndarray, "texts n"]) -> int:
    """Count the texts that have more tokens than their row of `tokens` holds."""
    longer = dataclasses.replace(cast(Any, encoder), context=encoder.context + 1).encode([*texts, "a"], truncate=True)
    padding = longer[-1, -1]
    return int(((longer[:-1, :-1] != tokens).any(axis=1) | (longer[:-1, -1] != padding)).sum())
