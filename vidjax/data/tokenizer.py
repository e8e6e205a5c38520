"""Convert captions to tokens and back with GPT-2's byte-level BPE, from files on disk."""

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
IGNORED = -100  # the target at positions without a loss
FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))  # transformers' names and OpenAI's


@dataclasses.dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A vocabulary whose end-of-text token opens and closes every text.

    Attributes:
      backend: a `tokenizers.Tokenizer`.
      eos: the number of the end-of-text token, which also starts a text and pads it.
    """

    backend: Tokenizer
    eos: int

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary."""
        return self.backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without the end-of-text token."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Iterable[int]) -> str:
        """The text before the first end-of-text token; invalid UTF-8 becomes U+FFFD."""
        ids = []
        for token in tokens:
            if token == self.eos:
                break
            ids.append(int(token))
        return self.backend.decode(ids, skip_special_tokens=False)

    def targets(self, texts: Sequence[str], num_tokens: int) -> Int32[np.ndarray, "b n"]:
        """Targets for a captioner: the tokens, end-of-text, then -100; cut off after `num_tokens`."""
        found = np.full((len(texts), num_tokens), IGNORED, np.int32)
        for row, text in zip(found, texts, strict=True):
            ids = [*self.encode(text), self.eos][:num_tokens]
            row[: len(ids)] = ids
        return found

    def save(self, folder: str | os.PathLike) -> None:
        """Write tokenizer.json, which `load_tokenizer` reads."""
        self.backend.save(str(Path(folder) / "tokenizer.json"))


def load_tokenizer(folder: str | os.PathLike) -> TextTokenizer:
    """Load the tokenizer beside a checkpoint.

    Its files are tokenizer.json, or vocab.json with merges.txt, or encoder.json with vocab.bpe.

    Raises:
      DataError: when the folder holds none of these, or a file is damaged or has no end-of-text token.
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
        raise DataError(f"the tokenizer in {folder} has no token {END_OF_TEXT}; use the files of a GPT-2 tokenizer")
    return TextTokenizer(backend, eos)


def holds_tokenizer(folder: str | os.PathLike) -> bool:
    """Whether a folder exists and holds the files of a tokenizer."""
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
    raise DataError(f"{folder} holds no tokenizer; put tokenizer.json there, or {pairs}")
