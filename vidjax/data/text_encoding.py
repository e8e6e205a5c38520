"""Turn texts into the tokens of a text tower, with the vocabulary beside its weights.

CLIP's byte-level BPE puts a text between a start and an end token. VideoPrism's SentencePiece vocabulary, c4_en, marks
neither start nor end, and its texts are in lower case, without punctuation and with a full stop at the end.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Int32
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from vidjax.errors import ConfigError, DataError
from vidjax.files import Place, located

START_OF_TEXT, END_OF_TEXT = "<|startoftext|>", "<|endoftext|>"
JSON = "tokenizer.json"
SENTENCEPIECE = ("spiece.model", "sentencepiece.model", "cc_en.32000.sentencepiece.model", "c4_en.model")
BPE_FILES = ("vocab.json", "merges.txt")
FILES = (JSON, *BPE_FILES, *SENTENCEPIECE)
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_WIDER = str.maketrans(string.punctuation, " " * len(string.punctuation))


class TextEncoder(Protocol):
    """The interface that turns texts into the tokens of one text tower."""

    @property
    def context(self) -> int:
        """The maximum number of tokens of a text, including those that mark its start and end."""
        ...

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary."""
        ...

    def encode(self, texts: Sequence[str], *, truncate: bool = False) -> Int32[np.ndarray, "n context"]:
        """Return the tokens of texts, padded to `context`.

        Args:
          truncate: whether to cut off texts that are too long.

        Raises:
          ConfigError: if a text is empty, or too long and `truncate` is False.
        """
        ...

    def save(self, folder: str | os.PathLike) -> None:
        """Write the vocabulary for `load_text_encoder`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class CLIPEncoder:
    """CLIP's tokens: a start token, those of the text, and end tokens that pad it to `context` tokens.

    Attributes:
      backend: a `tokenizers.Tokenizer` whose vocabulary has the start and the end token.
      context: see `TextEncoder`.
    """

    backend: Tokenizer
    context: int

    @property
    def vocab_size(self) -> int:
        """See `TextEncoder`."""
        return self.backend.get_vocab_size()

    @property
    def end(self) -> int:
        """The number of the end-of-text token."""
        return self.backend.get_vocab()[END_OF_TEXT]

    def encode(self, texts: Sequence[str], *, truncate: bool = False) -> Int32[np.ndarray, "n context"]:
        """See `TextEncoder`."""
        start = self.backend.token_to_id(START_OF_TEXT)
        found = np.full((len(texts), self.context), self.end, np.int32)
        for row, text in zip(found, texts, strict=True):
            ids = self.backend.encode(_checked(text), add_special_tokens=False).ids
            ids = [start, *_fitting(text, ids, self.context - 2, truncate)]
            row[: len(ids)] = ids
        return found

    def save(self, folder: str | os.PathLike) -> None:
        """Write tokenizer.json."""
        self.backend.save(str(Path(folder) / JSON))


@dataclasses.dataclass(frozen=True, eq=False)
class SentencePieceEncoder:
    """VideoPrism's tokens: those of the text in `canonical` form, padded with zeros to `context` tokens.

    Attributes:
      model: the bytes of a SentencePiece model.
      context: see `TextEncoder`.
    """

    model: bytes
    context: int

    @functools.cached_property
    def _processor(self):
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    @property
    def vocab_size(self) -> int:
        """See `TextEncoder`."""
        return self._processor.vocab_size()

    def encode(self, texts: Sequence[str], *, truncate: bool = False) -> Int32[np.ndarray, "n context"]:
        """See `TextEncoder`."""
        start = self._processor.bos_id()
        found = np.zeros((len(texts), self.context), np.int32)
        for row, text in zip(found, texts, strict=True):
            ids = self._processor.encode(canonical(_checked(text)))
            ids = _fitting(text, ids if start < 0 else [start, *ids], self.context, truncate)
            row[: len(ids)] = ids
        return found

    def save(self, folder: str | os.PathLike) -> None:
        """Write spiece.model."""
        Path(folder, SENTENCEPIECE[0]).write_bytes(self.model)


@dataclasses.dataclass(frozen=True, eq=False)
class UnigramEncoder:
    """VideoPrism's tokens from the tokenizer.json that `transformers` writes for a SentencePiece vocabulary.

    Attributes:
      backend: a `tokenizers.Tokenizer`.
      context: see `TextEncoder`.
    """

    backend: Tokenizer
    context: int

    @property
    def vocab_size(self) -> int:
        """See `TextEncoder`."""
        return self.backend.get_vocab_size()

    def encode(self, texts: Sequence[str], *, truncate: bool = False) -> Int32[np.ndarray, "n context"]:
        """See `TextEncoder`."""
        found = np.zeros((len(texts), self.context), np.int32)
        for row, text in zip(found, texts, strict=True):
            ids = self.backend.encode(canonical(_checked(text)), add_special_tokens=False).ids
            ids = _fitting(text, ids, self.context, truncate)
            row[: len(ids)] = ids
        return found

    def save(self, folder: str | os.PathLike) -> None:
        """Write tokenizer.json."""
        self.backend.save(str(Path(folder) / JSON))


def canonical(text: str) -> str:
    """Return a text in the form that VideoPrism was trained on: lower case, no punctuation, a full stop at the end."""
    return " ".join(text.translate(_WIDER).lower().split()) + "."


def holds_vocabulary(folder: str | os.PathLike) -> bool:
    """Whether a folder exists and holds a vocabulary for `load_text_encoder`."""
    folder = located(os.path.expanduser(folder))
    return any((folder / name).is_file() for name in (JSON, *SENTENCEPIECE)) or _holds_bpe(folder)


def load_text_encoder(folder: str | os.PathLike, context: int) -> TextEncoder:
    """Load the vocabulary beside a text tower's weights, from a disk or a bucket.

    The folder holds a SentencePiece model (such as spiece.model), tokenizer.json, or vocab.json with merges.txt.

    Args:
      context: maximum number of tokens per text.

    Raises:
      DataError: if the folder holds none of these, or a file is damaged.
    """
    folder = located(os.path.expanduser(folder))
    for name in SENTENCEPIECE:
        if (folder / name).is_file():
            return _sentencepiece(folder / name, context)
    if not holds_vocabulary(folder):
        raise DataError(
            f"{folder} holds no vocabulary; put {JSON} there, {' with '.join(BPE_FILES)}, or the SentencePiece model "
            f"as {SENTENCEPIECE[0]}"
        )
    try:
        backend = Tokenizer.from_str((folder / JSON).read_text()) if (folder / JSON).is_file() else _bpe(folder)
    except Exception as error:  # the package raises bare exceptions
        raise DataError(f"the vocabulary in {folder} cannot be read: {error}") from error
    if isinstance(backend.model, models.Unigram):
        return UnigramEncoder(backend, context)
    if None in (backend.token_to_id(START_OF_TEXT), backend.token_to_id(END_OF_TEXT)):
        raise DataError(f"the vocabulary in {folder} lacks {START_OF_TEXT} or {END_OF_TEXT}; use that of a CLIP model")
    return CLIPEncoder(backend, context)


_BPE = {"end_of_word_suffix": "</w>", "unk_token": END_OF_TEXT}


def clip_backend(model: models.Model) -> Tokenizer:
    """Return a tokenizer that makes texts lower case, splits them as CLIP does, and encodes each word with `model`."""
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.decoder = decoders.ByteLevel()
    return backend


def learn_vocabulary(texts: Iterable[str], context: int, vocab_size: int = 1024) -> CLIPEncoder:
    """Learn a vocabulary like CLIP's from texts, for a text tower that is trained from scratch.

    As in CLIP's, every byte has two tokens, one within a word and one at its end, so that any text can be encoded. The
    last two tokens mark the start and the end. If the texts give too few tokens, unused ones fill the vocabulary.

    Args:
      context: maximum number of tokens per text.
      vocab_size: number of tokens in the vocabulary, at least 514: 512 for bytes, the start token and the end token.

    Raises:
      ConfigError: for a smaller vocabulary.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    if (room := vocab_size - len(tokens) - 2) < 0:
        raise ConfigError(f"vocab_size={vocab_size} of a text tower must be at least {len(tokens) + 2}")
    backend = clip_backend(models.BPE(**_BPE))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    merges = [(first, second) for first, second in json.loads(backend.to_str())["model"]["merges"]][:room]
    tokens = list(dict.fromkeys([*tokens, *(first + second for first, second in merges)]))
    tokens += [f"<|unused{number}|>" for number in range(vocab_size - 2 - len(tokens))]
    vocabulary = {token: number for number, token in enumerate([*tokens, START_OF_TEXT, END_OF_TEXT])}
    return CLIPEncoder(clip_backend(models.BPE(vocabulary, merges, **_BPE)), context)


def _holds_bpe(folder: Place) -> bool:
    return all((folder / name).is_file() for name in BPE_FILES)


def _bpe(folder: Place) -> Tokenizer:
    """Read vocab.json and merges.txt, whose first line may be a comment on the version."""
    vocabulary, merges = ((folder / name).read_text(encoding="utf-8") for name in BPE_FILES)
    lines = (line.split(" ") for line in merges.splitlines() if line and not line.startswith("#version"))
    pairs = [(first, second) for first, second in lines]
    return clip_backend(models.BPE(json.loads(vocabulary), pairs, **_BPE))


def _sentencepiece(path: Place, context: int) -> SentencePieceEncoder:
    encoder = SentencePieceEncoder(path.read_bytes(), context)
    try:
        encoder.vocab_size  # noqa: B018 - parses the file
    except RuntimeError as error:
        raise DataError(f"{path} is not a SentencePiece model; fetch it again") from error
    return encoder


def _checked(text: str) -> str:
    if not text.strip():
        raise ConfigError("a text is empty; give at least one word")
    return text


def _fitting(text: str, ids: list[int], room: int, truncate: bool) -> list[int]:
    """Return the tokens of a text if `room` is enough for them; see `TextEncoder.encode`."""
    if len(ids) <= room:
        return ids
    if truncate:
        return ids[:room]
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    raise ConfigError(f"the text {shown!r} has {len(ids)} tokens, but the text tower reads {room}; shorten it")
