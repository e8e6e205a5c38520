"""Every public name has an example in `help()`, and the example is correct."""

import doctest
import inspect
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from library_folder import make_folder

import vidjax
from vidjax.weights import Pretrained

OFFERED = {
    f"{room.__name__}.{name}": getattr(room, name)
    for room in (vidjax, vidjax.data, vidjax.ops, vidjax.weights)
    for name in room.__all__
    if not name.startswith("__")
}
METHODS = {f"Pretrained.{name}": getattr(Pretrained, name) for name in ("__call__", "apply", "predict", "embed")}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("library"))


@pytest.mark.parametrize("name", OFFERED | METHODS)
def test_help_shows_an_example_that_is_true(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = inspect.getdoc((OFFERED | METHODS)[name])
    assert "\nExample:\n" in text
    names = {"vidjax": vidjax, "jax": jax, "jnp": jnp, "np": np, "pathlib": pathlib}
    example = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert example.examples
    said = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert not said, "".join(said)
