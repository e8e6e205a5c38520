"""Reading arrays from wrappers, parts and other types, and refusing everything that is not a checkpoint."""

import argparse
import builtins
import json
import os
import pickle

import numpy as np
import peers
import pytest
import safetensors.numpy
import safetensors.torch
from flax import serialization
from peers import torch

import vidjax
from vidjax.errors import WeightsError
from vidjax.weights import file_formats
from vidjax.weights.checkpoint_contents import read_contents


def refused(path, words):
    """The one-sentence error for a source, which names the source."""
    with pytest.raises(WeightsError, match=words) as caught:
        vidjax.from_pretrained(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def checkpoint(tmp_path):
    """A folder of transformers with a complete model."""
    peers.classifier().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "wrapped",
    [
        {"model": {"a.weight": 1}},
        {"module": {"a.weight": 1}, "optimizer": {"a.weight": 2}},
        {"model_state": {"module.a.weight": 1}, "epoch": 3},
        {"student": {"a.weight": 2}, "teacher": {"backbone.a.weight": 1}, "args": argparse.Namespace(lr=1.0)},
        {"state_dict": {"module.backbone.a.weight": 1}},
        {"a.weight": 1},
    ],
    ids=lambda wrapped: next(iter(wrapped)),
)
def test_arrays_are_found_inside_the_wrappers_of_training_scripts(tmp_path, wrapped):
    def tensors(tree):
        if isinstance(tree, dict):
            return {key: tensors(value) for key, value in tree.items()}
        return torch.tensor([tree], dtype=torch.float16) if tree in (1, 2) else tree

    torch.save(tensors(wrapped), tmp_path / "a.pth")
    state = read_contents(tmp_path / "a.pth").state
    assert list(state) == ["a.weight"]
    assert state["a.weight"] == 1
    assert state["a.weight"].dtype == np.float32


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (("model", "optimizer"), ()),
        (("model", "model_ema"), ("the file holds model and model_ema; model is used",)),
        (("student", "teacher", "optimizer"), ("the file holds teacher and student; teacher is used",)),
        (("model", "module"), ("the file holds module and model; module is used",)),
    ],
)
def test_the_set_of_weights_that_is_used_is_named(tmp_path, held, words):
    tree = {name: {"a": torch.full((1,), float(place))} for place, name in enumerate(held)}
    torch.save(tree, tmp_path / "a.pth")
    contents = read_contents(tmp_path / "a.pth")
    assert contents.notes == words
    taken = words[0].split()[3] if words else "model"
    assert contents.state["a"] == held.index(taken)


def test_half_precision_of_safetensors_becomes_float32(tmp_path):
    import ml_dtypes

    arrays = {"b": np.ones(3, ml_dtypes.bfloat16), "h": np.ones(3, np.float16), "i": np.ones(3, np.int32)}
    safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors")
    state = read_contents(tmp_path / "a.safetensors").state
    assert {key: str(value.dtype) for key, value in state.items()} == {"b": "float32", "h": "float32", "i": "int32"}


def test_number_types_that_numpy_lacks_are_refused(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(3).to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "holds a number type that NumPy lacks .*; save it as bfloat16")


def test_files_of_old_pytorch_are_read_too(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_contents(tmp_path / "old.pth").state["a"].sum() == 3


@pytest.mark.parametrize("around", [lambda p: {"optimizer": {"target": p, "state": {}}}, lambda p: {"params": p}])
def test_arrays_of_scenic_have_paths_with_slashes(tmp_path, around):
    tree = around({"Transformer": {"encoder_norm": {"scale": np.ones(3, np.float32)}}})
    (tmp_path / "checkpoint").write_bytes(serialization.msgpack_serialize(tree))
    assert list(read_contents(tmp_path / "checkpoint").state) == ["Transformer/encoder_norm/scale"]


def test_the_parts_of_a_checkpoint_are_joined(tmp_path, checkpoint):
    peer = peers.classifier()
    peer.save_pretrained(tmp_path / "parts", max_shard_size="8KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    whole, parts = (read_contents(path).state for path in (checkpoint, tmp_path / "parts"))
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[key], parts[key]) for key in whole)
    part = sorted((tmp_path / "parts").glob("*.safetensors"))[0]
    part.rename(tmp_path / "elsewhere")
    refused(tmp_path / "parts", f"names {part.name}, which is not in the folder")


def test_an_index_cannot_name_files_outside_of_its_folder(tmp_path, checkpoint):
    index = {"weight_map": {"a": "../model/model.safetensors"}}
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "config.json").write_text("{}")
    (tmp_path / "evil" / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(tmp_path / "evil", "which is not in the folder")


class _Code:
    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (os.fspath(self.proof),)


@pytest.mark.parametrize("save", [torch.save, lambda tree, path: path.write_bytes(pickle.dumps(tree, protocol=2))])
def test_code_in_a_pickle_is_never_executed(tmp_path, save):
    save({"model": {"a": _Code(tmp_path / "executed")}}, tmp_path / "evil.pth")
    refused(tmp_path / "evil.pth", r"would call posix\.mkdir when loaded, so it is refused")
    assert not (tmp_path / "executed").exists()


def test_classes_beside_namespace_are_not_allowed_either(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "args": argparse.ArgumentError}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", r"argparse\.ArgumentError")


@pytest.mark.parametrize("keep", [0.5, 0.98])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "old.pth", "msgpack"])
def test_half_a_checkpoint_is_refused(tmp_path, kind, keep):
    path, arrays = tmp_path / f"whole.{kind}", {"a": np.ones(500, np.float32), "b": np.ones(500, np.float32)}
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    if kind == "safetensors":
        safetensors.numpy.save_file(arrays, path)
    elif kind == "msgpack":
        path.write_bytes(serialization.msgpack_serialize({"params": arrays}))
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "pth")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    refused(path, "truncated")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.pth", b"", "is empty; expected .safetensors"),
        ("video.safetensors", b"\x00\x00\x00\x18ftypmp42" * 9, "is not a checkpoint; expected .safetensors"),
        ("page.pth", b"<!DOCTYPE html><html>Not found</html>", "is not a checkpoint; expected .safetensors"),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer.*git lfs pull"),
        ("a.pkl", pickle.dumps({"a": [1, 2]}), "holds no arrays|not of tensors"),
        ("a.zip", b"PK\x03\x04" + b"\x00" * 60, "truncated or not written by torch.save"),
        ("a.pth", b"\x80", "is not a checkpoint; expected .safetensors"),
    ],
)
def test_files_that_are_not_checkpoints_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, words)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ([torch.ones(2)], "holds a list; a checkpoint is a dict of tensors"),
        ({"a": torch.ones(2).to_sparse()}, "not written by torch.save"),
        ({"epoch": 3, "args": argparse.Namespace(lr=1.0)}, r"holds no arrays .* \(it holds args, epoch\)"),
    ],
    ids=["list", "sparse", "no arrays"],
)
def test_pytorch_files_that_are_not_checkpoints_are_refused(tmp_path, tree, words):
    torch.save(tree, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", words)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # old files still use it
def test_a_program_of_torchscript_is_not_run(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "a.pt"))
    refused(tmp_path / "a.pt", "not written by torch.save")


@pytest.mark.parametrize("model_type", ["timesformer", "vivit", "bert"])
def test_a_config_of_another_family_is_refused(checkpoint, model_type):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
    refused(checkpoint, "is missing|axes were expected|that match no known layout")


def test_keras_files_are_refused_with_the_name_of_the_original(tmp_path):
    name = "TFVideoMAE_L_SSv2_16x224_FT"
    (tmp_path / f"{name}.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    sentence = refused(
        tmp_path / f"{name}.h5", r"checkpoint\.pth \(ViT-L, SSV2, fine-tuned\) in MODEL_ZOO\.md of MCG-NJU"
    )
    assert "MCG-NJU/videomae-large-finetuned-ssv2" in sentence
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    refused(tmp_path / "saved", r"Keras .* checkpoint\.pth .*videomae-base-finetuned-kinetics")


def test_a_folder_without_config_json_says_what_it_holds(tmp_path, checkpoint):
    (checkpoint / "config.json").unlink()
    refused(checkpoint, r"has no config\.json \(it holds model\.safetensors\)")
    (checkpoint / "config.json").write_text("{}")
    (checkpoint / "model.safetensors").unlink()
    refused(checkpoint, r"has neither model\.safetensors nor pytorch_model\.bin")
    (checkpoint / "config.json").write_text("not json")
    (checkpoint / "model.safetensors").write_bytes(safetensors.numpy.save({"a": np.ones(1)}))
    with pytest.raises(WeightsError, match="is not readable as JSON"):
        vidjax.from_pretrained(checkpoint)


def test_an_unknown_model_is_refused_with_a_list_of_known_layouts(tmp_path):
    torch.save({"layer1.0.conv1.weight": torch.ones(2, 2)}, tmp_path / "resnet.pth")
    sentence = refused(tmp_path / "resnet.pth", "that match no known layout; .*VideoMAE, official")
    assert "layer1.0.conv1.weight" in sentence


def test_without_pytorch_a_pth_says_what_to_install(monkeypatch, tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    importing = builtins.__import__

    def without(name, *args):
        if name == "torch":
            raise ImportError("no torch")
        return importing(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WeightsError, match="pip install torch"):
        file_formats.read_arrays(tmp_path / "a.pth")
