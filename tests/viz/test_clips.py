"""Clips of a report are animated, keep their frames apart, and stay within their budget."""

import io

import numpy as np
import pytest
from PIL import Image

from vidjax.viz.clips import MOST_BYTES, clip_blocks, encode_clip, write_clips
from vidjax.viz.document import Gallery


@pytest.mark.parametrize("shape", [(16, 224, 224), (64, 320, 180), (8, 24, 24), (1, 4, 400)])
def test_even_noise_stays_within_the_budget(shape):
    frames = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    content = encode_clip(frames)
    assert len(content) <= MOST_BYTES
    picture = Image.open(io.BytesIO(content))
    assert picture.n_frames == min(shape[0], 16)
    assert max(picture.size) <= 144
    assert picture.width * shape[1] == pytest.approx(picture.height * shape[2], rel=0.1) or min(shape[1:]) < 10


def test_frames_are_in_order_from_the_first_to_the_last():
    frames = np.repeat(np.arange(0, 250, 5, dtype=np.uint8), 32 * 32 * 3).reshape(-1, 32, 32, 3)
    picture, seen = Image.open(io.BytesIO(encode_clip(frames))), []
    for number in range(picture.n_frames):
        picture.seek(number)
        seen.append(np.asarray(picture.convert("L")).mean())
    assert seen == sorted(seen)
    assert seen[0] == pytest.approx(0, abs=4)
    assert seen[-1] == pytest.approx(245, abs=4)


def test_a_later_evaluation_replaces_an_earlier_one(tmp_path):
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    write_clips(tmp_path, [("best", "one", frames), ("worst", "two", frames)])
    write_clips(tmp_path, [("best", "three", frames)])
    [gallery] = [block for block in clip_blocks(tmp_path) if isinstance(block, Gallery)]
    assert [picture.caption for picture in gallery.pictures] == ["three"]


@pytest.mark.parametrize(
    "content",
    ["[", "{}", "[1]", '[{"kind": "best"}]', '[{"kind": "best", "file": "../secret.webp", "words": ""}]'],
)
def test_a_damaged_list_or_one_that_leaves_its_folder_has_no_section(tmp_path, content):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "secret.webp").write_bytes(b"")
    (folder / "clips.json").write_text(content)
    assert clip_blocks(folder) == []
