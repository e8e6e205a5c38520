"""A disk without room for what a verb writes gives a message, and no part of a file or folder is left.

A limit on the size of files stands for the full disk: writes fail in the same places, here from the third kilobyte on.
"""

import contextlib
import resource

import jax
import pytest

from vidjax.cli import main

LIMIT = 2000  # bytes; every file below that counts is larger


@pytest.fixture
def names(classifier, autoencoder, videos, tmp_path):
    """What the words of a command stand for."""
    return {"classifier": classifier, "autoencoder": autoencoder, "video": videos[0], "out": tmp_path}


@contextlib.contextmanager
def small_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    shortest = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[shortest]
    jax.config.update(shortest, 1e9)  # other tests read the cache, where jax would leave truncated programs
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        jax.config.update(shortest, before)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["export", "{classifier}", "{out}/a"], []),
        (["export", "{classifier}", "{out}/a", "--hub-layout=someone/model"], []),
        (["export", "{classifier}", "{out}/a", "--format=stablehlo"], []),
        (["convert", "{classifier}", "{out}/a"], []),
        (["predict", "{video}", "--model", "{classifier}", "--every=0.1", "--html={out}/a.html"], []),
        (["predict", "{video}", "--model", "{classifier}", "--every=1", "--out={out}/a.mp4"], []),
        (["attention", "{video}", "--model", "{classifier}", "--out={out}/a"], ["a"]),
        (["reconstruct", "{video}", "--model", "{autoencoder}", "--out={out}/a"], ["a"]),
    ],
    ids=["export", "hub", "stablehlo", "convert", "html", "video", "attention", "reconstruct"],
)
def test_a_full_disk_gives_a_message_and_leaves_no_part(words, left, names, tmp_path, capsys):
    """A folder of pictures may be left, empty."""
    if "--format=stablehlo" in words:
        pytest.importorskip("flatbuffers", reason="jax.export writes with it; older environments lack it")
    with small_files():
        code = main([word.format(**names) for word in words])
    said = capsys.readouterr().err
    assert code == 2, said
    last = said.splitlines()[-1]
    assert last.startswith("vidjax: ")
    assert "File too large" in last
    assert sorted(path.name for path in tmp_path.rglob("*")) == left
