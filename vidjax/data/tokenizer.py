"""Captions to tokens and back: the byte-level BPE of GPT-2, from files on disk."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from vidjax.errors import DataError

END_OF_TEXT = "<|endoftext|>"
IGNORED = -100  # the target of a position that no loss is taken at
FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))  # transformers' names and OpenAI's


@dataclasses.dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A vocabulary whose end-of-text token opens and closes every text.

    Attributes:
      backend: of the package tokenizers.
      eos: the number of the end-of-text token; also what a text begins with, and what is behind its end.
    """

    backend: Tokenizer
    eos: int

    @property
    def vocab_size(self) -> int:
        """Tokens that there are."""
        return self.backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without an end."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Iterable[int]) -> str:
        """The text up to the first end-of-text; bytes that are no UTF-8 become U+FFFD."""
        ids = []
        for token in tokens:
            if token == self.eos:
                break
            ids.append(int(token))
        return self.backend.decode(ids, skip_special_tokens=False)

    def targets(self, texts: Sequence[str], num_tokens: int) -> Int32[np.ndarray, "b n"]:
        """What a captioner is to predict: the tokens, the end, then -100, cut off after `num_tokens`."""
        found = np.full((len(texts), num_tokens), IGNORED, np.int32)
        for row, text in zip(found, texts, strict=True):
            ids = [*self.encode(text), self.eos][:num_tokens]
            row[: len(ids)] = ids
        return found

    def save(self, folder: str | os.PathLike) -> None:
        """Write tokenizer.json, which `load_tokenizer` reads."""
        self.backend.save(str(Path(folder) / "tokenizer.json"))


def load_tokenizer(folder: str | os.PathLike) -> TextTokenizer:
    """The tokenizer beside a checkpoint: tokenizer.json, or vocab.json with merges.txt, or encoder.json with vocab.bpe.

    Raises:
      DataError: when the folder holds none of them, or a file is damaged or has no end-of-text token.
    """
    folder = Path(folder).expanduser()
    try:
        backend = _read(folder)
    except DataError:
        raise
    except Exception as error:  # the package raises bare exceptions
        raise DataError(f"the tokenizer in {folder} cannot be read: {error}") from error
    eos = backend.token_to_id(END_OF_TEXT)
    if eos is None:
        raise DataError(f"the tokenizer in {folder} has no token {END_OF_TEXT}; a GPT-2's has")
    return TextTokenizer(backend, eos)


def holds_tokenizer(folder: str | os.PathLike) -> bool:
    """Whether there is a folder with the files of a tokenizer."""
    folder = Path(folder).expanduser()
    pairs = (all((folder / name).is_file() for name in pair) for pair in FILES)
    return (folder / "tokenizer.json").is_file() or any(pairs)


def _read(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    for vocabulary, merges in FILES:
        if (folder / vocabulary).exists() and (folder / merges).exists():
            backend = Tokenizer(models.BPE.from_file(str(folder / vocabulary), str(folder / merges)))
            backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            backend.decoder = decoders.ByteLevel()
            if backend.token_to_id(END_OF_TEXT) is not None:
                backend.add_special_tokens([END_OF_TEXT])
            return backend
    pairs = ", ".join(f"{vocabulary} with {merges}" for vocabulary, merges in FILES)
    raise DataError(f"{folder} holds no tokenizer: tokenizer.json, or {pairs}")
