"""Processes that are about to train different things report what differs, and between which of them."""

import concurrent.futures
import hashlib
import importlib.metadata
import itertools
import threading
import types

import bucket
import pytest
import toy
from key_value_store import Store
from videos import encode, moving_texture

from vidjax.config import DataConfig, hint_of, keys
from vidjax.data import open_source
from vidjax.data.sources.in_memory import InMemorySource
from vidjax.data.sources.rows import Row
from vidjax.data.video.checked_file import CheckedFile
from vidjax.data.video.readers import FrameWindow, StoredVideo
from vidjax.errors import ConfigError
from vidjax.training import agreement
from vidjax.training.agreement import OWN, agree, data_facts, run_facts


@pytest.fixture
def compare(monkeypatch):
    """Compares the facts of several processes, each a thread; returns what each raised, or None."""
    local, store = threading.local(), Store()
    monkeypatch.setattr(agreement, "runtime", local)
    monkeypatch.setattr(agreement.socket, "gethostname", lambda: f"host{local.global_state.process_id}")
    monkeypatch.setattr(agreement, "_calls", itertools.repeat(0))

    def run(*facts):
        def process(number):
            local.global_state = types.SimpleNamespace(client=store, process_id=number, num_processes=len(facts))
            try:
                agree(lambda: facts[number])
            except ConfigError as error:
                return str(error)

        with concurrent.futures.ThreadPoolExecutor(len(facts)) as pool:
            return list(pool.map(process, range(len(facts))))

    return run


def test_processes_with_equal_facts_continue(compare):
    assert compare({"seed": 0}, {"seed": 0}, {"seed": 0}) == [None, None, None]


def test_every_process_reports_the_key_both_values_and_both_processes(compare):
    first, *others = compare({"seed": 0, "x": 1}, {"seed": 0, "x": 1}, {"seed": 7, "x": 1})
    assert others == [first, first]
    assert "seed is 0 on process 0 on host0 and 7 on process 2 on host2." in first


def test_a_value_that_many_share_is_reported_once(compare):
    sentence = compare({"seed": 0}, {"seed": 7}, {"seed": 7}, {"seed": 8})[0]
    assert "is 0 on process 0 on host0 and 7 on process 1 on host1 (and 1 more) and 8 on process 3 on host3" in sentence


def test_what_only_one_process_has_is_a_difference(compare):
    assert "b is missing on process 0 on host0 and 2 on process 1" in compare({"a": 1}, {"a": 1, "b": 2})[0]


def test_only_the_first_few_of_many_differences_are_reported(compare):
    sentence = compare(dict.fromkeys("abcdef", 0), dict.fromkeys("abcdef", 1))[1]
    assert "a is 0" in sentence
    assert "c is 0" in sentence
    assert "d is 0" not in sentence
    assert "; and 3 more." in sentence


def differences(one, other):
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def test_the_learning_rate_is_compared_but_not_the_place_of_the_videos(tmp_path):
    facts = run_facts(toy.toy_config(), tmp_path)
    assert differences(facts, run_facts(toy.toy_config(optim__base_lr=1.0), tmp_path)) == {"optim.base_lr"}
    own = {"data__root": "elsewhere", "data__workers": 5, "data__stage": "there", "train__compile_cache": "off"}
    assert not differences(facts, run_facts(toy.toy_config(**own), tmp_path))


def test_keys_that_are_not_compared_exist_and_may_differ_between_two_starts():
    assert set(keys()) >= OWN
    assert all("Changeable" in str(hint_of(key)) for key in OWN)


def test_another_version_of_a_package_or_of_the_code_is_a_difference(tmp_path, monkeypatch):
    facts = run_facts(toy.toy_config())
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == "optax" else real(name))
    assert differences(facts, run_facts(toy.toy_config())) == {"version of optax"}
    monkeypatch.undo()
    changed = tmp_path / "vidjax" / "__init__.py"
    changed.parent.mkdir()
    changed.write_text("x = 1\n")
    monkeypatch.setattr(agreement.vidjax, "__file__", str(changed))
    (key,) = differences(facts, run_facts(toy.toy_config()))
    assert key.startswith("code of vidjax")


def test_the_code_of_a_random_backbone_from_a_module_of_ones_own_is_compared(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "my_backbones.py"
    config = toy.toy_config(probe__backbones=("random:my_backbones:TINY", "random:videomae_tiny"))
    found = []
    for text in ("a = 1\n", "a = 2\n"):
        module.write_text(text)
        importlib.invalidate_caches()
        found.append(run_facts(config))
    assert differences(*found) == {"code of my_backbones"}


def test_a_workdir_that_is_not_shared_is_a_difference(tmp_path):
    for name, steps in {"a": (5, 10), "b": (5,), "c": ()}.items():
        for step in steps:
            (tmp_path / name / "checkpoints" / str(step)).mkdir(parents=True)
    found = [run_facts(toy.toy_config(), tmp_path / name)["the last checkpoint in --workdir"] for name in "abc"]
    assert found == [10, 5, "none"]


def weights_file(path, byte):
    """Write a megabyte of weights with a given byte in the middle of a block that is read."""
    path.write_bytes(bytes(10) + bytes([byte]) + bytes(2**20))


def weights_folder(path, byte):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text("{}")
    weights_file(path / "model.safetensors", byte)


def weights_run(path, byte):
    """Write a checkpoint whose manifest has a different checksum."""
    (path / "checkpoints" / "5").mkdir(parents=True, exist_ok=True)
    (path / "checkpoints" / "5" / "manifest.json").write_text(f'{{"params/a": "{byte}"}}')


@pytest.mark.parametrize("write", [weights_file, weights_folder, weights_run])
@pytest.mark.parametrize(
    "key", ["init_from", "align.teacher_from", "teacher.weights", "caption.decoder_from", "contrastive.text_from"]
)
def test_other_weights_at_the_same_path_are_a_difference(tmp_path, write, key):
    config = toy.toy_config(**{key.replace(".", "__"): str(tmp_path / "weights")})
    write(tmp_path / "weights", 1)
    facts = run_facts(config, tmp_path / "run")
    assert run_facts(config, tmp_path / "run") == facts
    write(tmp_path / "weights", 2)
    assert differences(facts, run_facts(config, tmp_path / "run")) == {f"the content of {key}"}


@pytest.mark.parametrize("name", ["model.safetensors", "run/checkpoints/5/manifest.json"])
def test_other_weights_in_a_bucket_are_a_difference(tmp_path, name):
    with bucket.emulated() as address:
        bucket.write(f"{address}/{name}", b'{"a": 1}')
        config = toy.toy_config(init_from=f"{address}/{name.split('/')[0]}")
        facts = run_facts(config, tmp_path)
        assert run_facts(config, tmp_path) == facts
        bucket.write(f"{address}/{name}", b'{"a": 2}')
        assert differences(facts, run_facts(config, tmp_path)) == {"the content of init_from"}


def test_weights_that_a_start_does_not_read_are_not_compared(tmp_path):
    """A resumed run has its own parameters; the weights that it started from may be gone on some hosts."""
    weights_file(tmp_path / "weights", 1)
    config = toy.toy_config(init_from=str(tmp_path / "weights"))
    (tmp_path / "run" / "checkpoints" / "5").mkdir(parents=True)
    facts = run_facts(config, tmp_path / "run")
    (tmp_path / "weights").unlink()
    assert run_facts(config, tmp_path / "run") == facts
    hub = toy.toy_config(init_from="owner/name")
    assert "the content of init_from" not in run_facts(hub, tmp_path / "new")


def test_the_run_that_an_evaluation_reads_is_compared(tmp_path):
    config = toy.toy_config(init_from=str(tmp_path / "run"))
    weights_run(tmp_path / "run", 1)
    facts = run_facts(config, tmp_path / "run")
    assert facts["the content of init_from"].startswith("checkpoints 5 (")
    weights_run(tmp_path / "run", 2)
    assert differences(facts, run_facts(config, tmp_path / "run")) == {"the content of init_from"}


def folder(root, names=("a/1", "a/2", "b/1"), seed=0):
    for name in (*(f"train/{name}" for name in names), "val/a/9", "val/b/9"):
        path = root / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(4, 32, 32, seed=seed)))
    return data_facts({"training": open_source(DataConfig(root=str(root)), "train")})


def test_the_same_videos_in_another_place_agree(tmp_path):
    assert folder(tmp_path / "one") == folder(tmp_path / "two")


def test_a_missing_video_another_class_and_other_content_are_distinguished(tmp_path):
    whole = folder(tmp_path / "whole")
    assert "the number of training videos" in differences(whole, folder(tmp_path / "fewer", ("a/1", "b/1")))
    assert "class 1 of the training videos" in differences(whole, folder(tmp_path / "named", ("a/1", "a/2", "c/1")))
    assert "the video train/a/1.mp4" in differences(whole, folder(tmp_path / "changed", seed=1))


@pytest.mark.parametrize("kind", ["listed with checksums", "a window of pictures", "a record", "a damaged record"])
def test_other_content_is_distinguished_behind_every_kind_of_place(kind, tmp_path):
    facts = []
    for content in (b"one", b"two"):
        path = tmp_path / f"{content.decode()}.jpg"
        path.write_bytes(content)
        checked = CheckedFile(str(path), hashlib.sha256(content).digest(), "SHA256SUMS")
        place = {
            "listed with checksums": checked,
            "a window of pictures": FrameWindow(str(tmp_path), (path.name,), -1, 3, 25.0),
            "a record": StoredVideo([{"video": content}], 0),
            "a damaged record": StoredVideo([{"video": content}] if content == b"one" else [], 0),
        }[kind]
        facts.append(data_facts({"training": InMemorySource("own", [Row(place, 0, "a")], labels=("x",))}))
    assert "the video a" in differences(*facts)
