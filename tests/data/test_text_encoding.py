"""Texts to tokens: CLIP's BPE beside `transformers`, VideoPrism's SentencePiece beside its authors' rules."""

import json

import numpy as np
import pytest

from vidjax.data.text_encoding import (
    CLIPEncoder,
    SentencePieceEncoder,
    UnigramEncoder,
    canonical,
    holds_vocabulary,
    learn_vocabulary,
    load_text_encoder,
)
from vidjax.errors import ConfigError, DataError

TEXTS = [
    "a red seven moves left", "a blue nine moves right", "a green two stands still", "the seven and the two move up",
    "a dog jumps into water", "somebody is riding a bike", "cooking rice on an open fire", "two people play tennis",
]  # fmt: skip
HARD = ["A  Dog's\tBALL, 42 km!", "été café 日本", "it's we'll <tag> #1"]


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory):
    """A miniature vocabulary with c4_en's special tokens: pad 0, end 1, unknown 2, and no start token."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("spm")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 5), model_prefix=str(folder / "spiece"), vocab_size=60, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return folder / "spiece.model"


@pytest.mark.parametrize("stored", ["tokenizer.json", "vocab.json and merges.txt"])
def test_clips_tokens_are_those_of_transformers(tmp_path, stored):
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    learned = learn_vocabulary(TEXTS, 40, 560)
    model = json.loads(learned.backend.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    if stored == "tokenizer.json":
        learned.save(tmp_path)
    else:
        (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
        (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]))
    ours = load_text_encoder(tmp_path, 40)
    theirs = transformers.CLIPTokenizer(model["vocab"], merges)
    wanted = theirs(TEXTS + HARD, padding="max_length", max_length=40, return_tensors="np")["input_ids"]
    assert isinstance(ours, CLIPEncoder)
    assert ours.vocab_size == learned.vocab_size == 560
    np.testing.assert_array_equal(ours.encode(TEXTS + HARD), wanted)
    np.testing.assert_array_equal(learned.encode(TEXTS + HARD), wanted)


def test_a_learned_vocabulary_encodes_any_text_and_ends_with_the_end_token():
    encoder = learn_vocabulary(TEXTS, 64)
    assert encoder.end == encoder.vocab_size - 1 == 1023  # unused tokens fill the vocabulary of a few texts
    (row,) = encoder.encode(["日本 zebra?"])
    assert list(row).index(encoder.end) > 5  # no unknown token, which would be the end token, comes before
    assert len(set(encoder.encode(["red seven"])[0][:6])) < len(set(encoder.encode(["qzx wvk"])[0][:10]))
    with pytest.raises(ConfigError, match="vocab_size=500 of a text tower must be at least 514"):
        learn_vocabulary(TEXTS, 64, 500)


def test_sentencepiece_tokens_follow_the_authors_rules(sentencepiece_model, tmp_path):
    import sentencepiece

    ours = load_text_encoder(sentencepiece_model.parent, 40)
    assert isinstance(ours, SentencePieceEncoder)
    plain = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_model))
    # The authors' examples of canonical texts (videoprism/utils.py).
    for text in ("Hello, World!", "Hello,World..", "  Hello   WORLD"):
        assert canonical(text) == "hello world."
    wanted = plain.encode("a dog s ball 2.")
    (row,) = ours.encode(["A  Dog's\tBALL, 2!"])
    assert list(row[: len(wanted)]) == wanted
    assert not row[len(wanted) :].any()
    ours.save(tmp_path)
    np.testing.assert_array_equal(load_text_encoder(tmp_path, 40).encode(TEXTS), ours.encode(TEXTS))


def test_transformers_tokenizer_of_a_sentencepiece_vocabulary_gives_the_same_tokens(sentencepiece_model, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    import sentencepiece

    plain = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_model))
    pieces = [(plain.id_to_piece(number), plain.get_score(number)) for number in range(plain.vocab_size())]
    transformers.VideoPrismTokenizer(vocab=pieces, extra_ids=0).save_pretrained(tmp_path)
    ours = load_text_encoder(tmp_path, 40)
    assert isinstance(ours, UnigramEncoder)
    np.testing.assert_array_equal(
        ours.encode(TEXTS), SentencePieceEncoder(sentencepiece_model.read_bytes(), 40).encode(TEXTS)
    )


@pytest.mark.parametrize("kind", ["CLIP", "SentencePiece"])
def test_a_text_that_is_empty_or_too_long_is_refused(sentencepiece_model, kind):
    encoder = learn_vocabulary(TEXTS, 8) if kind == "CLIP" else load_text_encoder(sentencepiece_model.parent, 8)
    long = "a red seven moves left " * 3
    with pytest.raises(
        ConfigError, match=r"the text 'a red .*' has \d+ tokens, but the text tower reads [68]; shorten"
    ):
        encoder.encode([long])
    cut = encoder.encode([long], truncate=True)
    assert cut.shape == (1, 8)
    if kind == "CLIP":
        assert cut[0, -1] == encoder.end
    with pytest.raises(ConfigError, match="a text is empty; give at least one word"):
        encoder.encode(["a dog", "  "])


@pytest.mark.parametrize("name", ["tokenizer.json", "spiece.model"])
def test_a_damaged_vocabulary_is_refused(tmp_path, name):
    assert not holds_vocabulary(tmp_path)
    with pytest.raises(DataError, match=r"holds no vocabulary; put tokenizer\.json there, vocab\.json with"):
        load_text_encoder(tmp_path, 8)
    (tmp_path / name).write_text("{")
    assert holds_vocabulary(tmp_path)
    with pytest.raises(DataError, match=r"cannot be read|is not a SentencePiece model; fetch it again"):
        load_text_encoder(tmp_path, 8)


def test_a_vocabulary_without_clips_special_tokens_is_refused(tmp_path):
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=r"lacks <\|startoftext\|> or <\|endoftext\|>; use that of a CLIP model"):
        load_text_encoder(tmp_path, 8)
