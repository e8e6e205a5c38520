"""Arbitrary inputs: readers of files and settings accept them, or refuse them with an error meant for people."""

import collections
import io
import json
import pickle
import shutil

import containers
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_runs import write_run
from safetensors.numpy import save as safetensors_save
from saved_runs import make_config

from vidjax import config as config_lib
from vidjax.data.video.decode import Video
from vidjax.errors import ConfigError, UserError, VideoError
from vidjax.main import read_config
from vidjax.weights.file_formats import read_arrays
from vidjax.weights.read_run import read_model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def edited(draw, originals):
    """One of some byte strings with a few edits, placed at shares of its length so that examples shrink."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        at = int(draw(st.floats(0, 1, exclude_max=True)) * len(content))
        kind = draw(st.sampled_from(["flip", "put", "over", "cut out", "end"]))
        some = draw(st.binary(min_size=1, max_size=16))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "put":
            content[at:at] = some
        elif kind == "over":
            content[at : at + len(some)] = some
        elif kind == "cut out":
            del content[at : at + draw(st.integers(1, 200))]
        else:
            del content[at:]
    return bytes(content)


def fuzz(drill, count, strategy, read, errors):
    """Feed inputs to a reader; returns how many it refused and how many it accepted."""
    outcomes = collections.Counter()

    @seed(drill.seed)
    @settings(max_examples=drill.tries(count), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def ask(example):
        try:
            read(example)
        except errors:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1

    ask()
    return outcomes


def test_arbitrary_bytes_are_a_packet_index_or_a_video_error(drill):
    whole = [make() for kind, make in containers.CONTAINERS.items() if "HEVC" not in kind and "AV1" not in kind]

    def index(video):
        with Video(video) as opened:
            assert opened.frames > 0
            assert opened.fps > 0

    outcomes = fuzz(drill, 2000, edited(whole) | st.binary(max_size=400), index, VideoError)
    drill.found("fuzzing: packet index", inputs=outcomes.total(), **outcomes, other_errors=0)


def test_arbitrary_settings_are_a_configuration_or_a_config_error(drill):
    keys = config_lib.keys()
    trees = st.dictionaries(st.sampled_from(keys), JSON, min_size=1, max_size=4)
    outcomes = fuzz(drill, 1000, trees, lambda tree: config_lib.with_keys(config_lib.Config(), tree), ConfigError)
    names = sorted({name for key in keys for name in (key, key.split(".")[0])})
    saved = fuzz(drill, 500, JSON | st.dictionaries(st.sampled_from(names), JSON), from_saved, ConfigError)
    words = st.lists(st.builds("--config.{}={}".format, st.sampled_from(keys) | st.text(), st.text()), max_size=3)
    flags = fuzz(drill, 300, words, lambda words: read_config(["--config=videomae_k400:smoke", *words]), ConfigError)
    outcomes += saved + flags
    drill.found("fuzzing: configurations", inputs=outcomes.total(), **outcomes, other_errors=0)


def from_saved(tree):
    return config_lib.from_saved({"schema": config_lib.SCHEMA, **tree} if isinstance(tree, dict) else tree)


def test_arbitrary_bytes_are_weights_or_a_weights_error_and_never_run(drill, tmp_path):
    torch = pytest.importorskip("torch", reason="writes .pth files (extra: test)")
    from flax import serialization

    arrays = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(5, np.float16)}
    tensors = {"model": {name: torch.from_numpy(array) for name, array in arrays.items()}, "epoch": 3}
    zipped, old = io.BytesIO(), io.BytesIO()
    torch.save(tensors, zipped)
    torch.save(tensors, old, _use_new_zipfile_serialization=False)
    canary = tmp_path / "ran"
    hostile = [pickle.dumps({"model": Call(canary)}, protocol) for protocol in (2, 4)]
    files = [safetensors_save(arrays), zipped.getvalue(), old.getvalue(), serialization.msgpack_serialize(arrays)]
    path = tmp_path / "weights"

    def read(content):
        path.write_bytes(content)
        assert isinstance(read_arrays(path), dict)

    outcomes = fuzz(drill, 2000, edited(files + hostile) | st.binary(max_size=200), read, UserError)
    assert not canary.exists()
    drill.found("fuzzing: weights", inputs=outcomes.total(), **outcomes, other_errors=0, code_run=0)


class Call:
    """Creates a file if a reader executes the code in a pickle."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return open, (str(self._path), "w")


def test_a_run_with_arbitrary_bytes_in_a_file_is_read_or_refused(drill, tmp_path):
    whole = write_run(tmp_path / "whole", make_config(), 3, labels=("a", "b", "c"))
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    contents = {name: (whole / name).read_bytes() for name in names}

    @st.composite
    def runs(draw):
        name = draw(st.sampled_from(names))
        texts = JSON.map(lambda tree: json.dumps(tree).encode())
        return name, draw(edited([contents[name]]) | texts | st.binary(max_size=100))

    def read(example):
        name, content = example
        workdir = shutil.copytree(whole, tmp_path / "run", dirs_exist_ok=True)
        (workdir / name).write_bytes(content)
        read_model(workdir)

    outcomes = fuzz(drill, 300, runs(), read, UserError)
    drill.found("fuzzing: checkpoints and the files beside them", inputs=outcomes.total(), **outcomes, other_errors=0)
