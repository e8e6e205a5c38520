"""The types of the keys: every choice exists in the code, and every default is one of the choices."""

import dataclasses
import importlib
import subprocess
import sys

import pytest

from vidjax import config as config_lib
from vidjax.config import types
from vidjax.errors import ConfigError
from vidjax.evaluation.merge_views import MERGES
from vidjax.models.pooling import POOLINGS

DEFAULTS = dict(config_lib.flatten(dataclasses.asdict(config_lib.Config())))


def tables(hint):
    """The tables that a type takes its choices from."""
    kind = types.plain(hint)
    inner = [table for item in getattr(kind, "__args__", ()) if item is not Ellipsis for table in tables(item)]
    return inner + [mark.table for mark in types.marks(hint) if isinstance(mark, types.OneOf)]


TABLES = sorted({table for key in DEFAULTS for table in tables(config_lib.hint_of(key))})


@pytest.mark.parametrize("table", TABLES)
def test_the_choices_of_a_table_are_the_keys_of_the_imported_one(table):
    module, name = table.split(":")
    assert types.keys_of(table) == tuple(getattr(importlib.import_module(module), name))


def test_a_missing_table_is_an_error_rather_than_no_choices():
    with pytest.raises(LookupError, match="has no dict literal MUSKS"):
        types.keys_of("vidjax.ops.masking:MUSKS")


@pytest.mark.parametrize("key", [key for key in DEFAULTS if config_lib.choices(key)])
def test_every_default_is_among_its_choices(key):
    value = DEFAULTS[key]
    assert set(value if isinstance(value, tuple) else (value,)) <= set(config_lib.choices(key))


def test_literal_choices_are_those_of_the_code():
    assert set(config_lib.choices("eval.merge")) <= set(MERGES)
    assert {f"{merge}_sigmoid" for merge in config_lib.choices("eval.window_merge")} <= set(MERGES)
    assert config_lib.choices("model.pooling") == POOLINGS


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optim.name", "adam", "did you mean 'adamw'"),
        ("optim.schedule", "quadratic", "choose one of cosine, linear, steps"),
        ("model.mask", "tubes", "did you mean 'tube'"),
        ("model.attention", "quick", "choose one of xla, blocked, tiled, pallas_tpu, splash, cudnn, or leave it empty"),
        ("caption.decoder", "mini", "did you mean 'medium'|choose one of tiny"),
        ("train.accumulate", -1, "config.train.accumulate=-1 must be at least 0"),
        ("optim.ema", -0.1, "config.optim.ema=-0.1 must lie between 0 and 1"),
    ],
)
def test_a_value_outside_its_type_is_refused_with_the_limit(key, value, message):
    section, name = key.split(".")
    with pytest.raises(ConfigError, match=message):
        config_lib.from_dict({section: {name: value}})


def test_reading_a_configuration_imports_neither_jax_nor_a_table():
    """So a misspelt value is answered at once, and `vidjax --help` is fast."""

    code = (
        "import sys; from vidjax.config import choices, from_dict\n"
        "from_dict({'optim': {'name': 'sgd'}, 'data': {'crop': 'center'}}), choices('model.mask')\n"
        "sys.exit(any(m in sys.modules for m in ('jax', 'cv2', 'vidjax.training', 'vidjax.data.clips')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
