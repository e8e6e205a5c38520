"""An unusable model is rejected with one message that names it and states what was expected; nothing runs."""

import pickle

import huggingface_hub
import pytest

from vidjax.cli import main

EXPECTED = "expected .safetensors, a .pth written by torch.save, an .npz, or a flax msgpack checkpoint"


class Code:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def refusal(capsys, verb, video, source, out):
    """Return the message with which a verb rejects a source; checks that nothing was written."""
    words = {
        "predict": [video, "--model", source],
        "reconstruct": [video, "--model", source, "--out", out],
        "convert": [source, out],
        "export": [source, out],
    }
    capsys.readouterr()  # what making the source has said
    assert main([verb, *map(str, words[verb])]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert not out.exists()
    [line] = [line for line in shown.err.splitlines() if not line.endswith(" ...")]
    assert line.startswith("vidjax: ")
    assert str(source) in line
    return line


@pytest.fixture
def refused(capsys, videos, tmp_path):
    return lambda source, verb="predict": refusal(capsys, verb, videos[0], source, tmp_path / "out")


VERBS = pytest.mark.parametrize("verb", ["predict", "reconstruct", "convert", "export"])


@VERBS
def test_a_file_that_is_no_checkpoint(refused, tmp_path, verb):
    path = tmp_path / "notes.pth"
    path.write_text("not a checkpoint")
    assert f"is not a checkpoint; {EXPECTED}" in refused(path, verb)


def test_half_a_safetensors_file(refused, classifier, tmp_path):
    path = tmp_path / "half.safetensors"
    with open(f"{classifier}/model.safetensors", "rb") as whole:
        path.write_bytes(whole.read()[:50000])
    assert "is truncated" in refused(path)


def test_half_a_file_of_torch(refused, classifier, transformers, tmp_path):
    import torch

    path = tmp_path / "half.pth"
    torch.save({"model": transformers.AutoModelForVideoClassification.from_pretrained(classifier).state_dict()}, path)
    path.write_bytes(path.read_bytes()[:50000])
    assert "is truncated" in refused(path)


def test_pickles_with_code_in_them(refused, transformers, tmp_path):
    import torch

    bare, saved, made = tmp_path / "bare.pth", tmp_path / "saved.pth", tmp_path / "made"
    bare.write_bytes(pickle.dumps({"model": Code(made)}))
    torch.save({"model": Code(made)}, saved)
    assert "is a pickle, but not of tensors as torch.save writes them, so it is refused" in refused(bare)
    assert "when loaded, so it is refused" in refused(saved)
    assert not made.exists()


def test_a_folder_without_config(refused, classifier, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with open(f"{classifier}/model.safetensors", "rb") as file:
        (folder / "model.safetensors").write_bytes(file.read())
    assert "has no config.json (it holds model.safetensors); give" in refused(folder)


def test_a_folder_of_runs_in_place_of_a_run(refused, tmp_path):
    """As `runs/quickstart` for `runs/quickstart/seed0/finetune`."""
    for run in ("seed0/finetune", "seed0/pretrain"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "config.json").write_text("{}")
    said = refused(tmp_path)
    assert f"has no config.json; did you mean {tmp_path}/seed0/finetune or {tmp_path}/seed0/pretrain?" in said


def test_tensors_of_no_known_model(refused, transformers, tmp_path):
    import torch

    path = tmp_path / "other.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, path)
    sentence = refused(path)
    assert "(conv1.weight, ...) that match no known layout; " in sentence
    assert "VideoMAE, official" in sentence


@VERBS
def test_a_hub_id_without_network(capsys, videos, tmp_path, monkeypatch, verb):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    refused = refusal(capsys, verb, videos[0], "nobody/nothing", tmp_path / "out")
    assert "'nobody/nothing' here; as a hub id it is not in the local cache, and the hub cannot be" in refused


@pytest.fixture(scope="module")
def language_model(transformers, tmp_path_factory):
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=24, n_layer=2, n_head=2)
    folder = tmp_path_factory.mktemp("gpt2")
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [
        ("predict", "holds a gpt2 without classes to predict; give a fine-tuned classifier"),
        ("reconstruct", "holds a gpt2, which has no decoder to reconstruct with"),
        ("convert", "holds a gpt2, which takes no clips and cannot become a run"),
    ],
)
def test_a_model_of_another_kind(refused, language_model, verb, sentence):
    assert sentence in refused(language_model, verb)
