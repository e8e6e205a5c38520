"""docs/library.md and the library block of the README run as printed."""

import contextlib
import doctest
import io
import pathlib
import re

import jax
import numpy as np
import pytest
from library_folder import make_folder

import vidjax

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(block: str, names: dict) -> str:
    """Run a block and check the output that it states; return the rest of its output."""
    if not block.startswith(">>>"):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block, "block", "exec"), names)
        return printed.getvalue()
    said, example = [], doctest.DocTestParser().get_doctest(block, {}, "block", None, None)
    example.globs = names
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    return ""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(make_folder(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_the_page_runs_its_loops_learn_and_its_model_is_kept(folder):
    names = {}
    printed = [run(block, names) for block in blocks((ROOT / "docs" / "library.md").read_text())]
    for losses in (names["losses"], names["head_losses"]):
        assert len(losses) == 20
        assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    kept, before = vidjax.from_pretrained("runs/head"), vidjax.from_pretrained("runs/finetune")
    jax.tree.map(np.testing.assert_array_equal, kept.params["encoder"], before.params["encoder"])
    assert kept.labels == ("day", "night")
    assert "'label': 'day'" in printed[-1]


def test_the_loops_of_the_page_have_about_twenty_lines():
    """Counted from the end of the imports to the end of a loop."""
    loops = [block for block in blocks((ROOT / "docs" / "library.md").read_text()) if "@jax.jit" in block]
    assert len(loops) == 2
    for loop in loops:
        assert len([line for line in loop.splitlines() if line.strip()]) <= 25


def test_the_readme_s_library_block_runs(folder):
    """With the tiny model and a run on disk instead of the base model and a model from the hub."""
    text = (ROOT / "README.md").read_text()
    [block] = blocks(text[text.index("## As a library") : text.index("## What is supported")])
    for word, instead in (("videomae_base", "videomae_tiny"), (r"MCG-NJU/[\w-]+", "runs/finetune")):
        block, count = re.subn(word, instead, block)
        assert count
    names = {}
    run(block, names)
    assert names["logits"].shape == (1, 400)
    assert names["m"].predict("video.mp4", top=1)["video"] == "video.mp4"
