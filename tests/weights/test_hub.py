"""Hub ids: the requests to the hub, which these tests never reach, and the errors when it does not answer."""

import shutil
import time
import types

import huggingface_hub
import jax
import numpy as np
import peers
import pytest
from clip_folder import write_clip
from huggingface_hub import errors
from peers import torch

import vidjax
from vidjax.errors import WeightsError
from vidjax.weights.pretrained import load


def refused(source, words):
    """The one-sentence error for a source, which names the source."""
    with pytest.raises(WeightsError, match=words) as caught:
        load(source)
    assert source in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A fake hub with one repository in a folder; a snapshot has the files that match the patterns."""
    repository, asked = tmp_path / "repository", []
    repository.mkdir()

    def snapshot(source, allow_patterns):
        asked.append(source)
        target = tmp_path / f"snapshot{len(asked)}"
        target.mkdir()
        for name in {path for pattern in allow_patterns for path in repository.glob(pattern)}:
            shutil.copy(name, target)
        return str(target)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return repository, asked


def answering(error):
    def download(*args, **kwargs):
        raise error

    return download


def no_answer(status):
    """The HTTP response inside an error of the hub."""
    return types.SimpleNamespace(headers={}, request=None, status_code=status, url="")


@pytest.mark.parametrize("form", ["whole", "in parts", "of PyTorch"])
def test_a_hub_id_is_its_folder(hub, form):
    repository, asked = hub
    peer = peers.classifier(id2label=dict(enumerate("abcde")), label2id={c: i for i, c in enumerate("abcde")})
    peer.save_pretrained(repository, max_shard_size="8KB" if form == "in parts" else "1GB")
    if form == "of PyTorch":
        (repository / "model.safetensors").unlink()
        torch.save(peer.state_dict(), repository / "pytorch_model.bin")
    else:
        (repository / "pytorch_model.bin").write_bytes(b"the same again, which is not fetched")
    (repository / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": 0.5}')
    model = vidjax.from_pretrained("someone/some-model")
    assert set(asked) == {"someone/some-model"}
    assert model.source == "someone/some-model"
    assert (model.labels, model.mean, model.std) == (tuple("abcde"), (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    clips = peers.random_clips()
    logits = jax.jit(model.module.apply)({"params": model.params}, clips)["logits"]
    peers.assert_close(logits, peers.logits_of(peer, clips))


def test_a_folder_comes_before_a_hub_id_of_its_name(hub, monkeypatch, tmp_path):
    peers.classifier().save_pretrained(tmp_path / "someone" / "some-model")
    monkeypatch.chdir(tmp_path)
    assert load("someone/some-model").num_classes == 5
    assert hub[1] == []


def test_a_repository_without_weights_says_what_is_missing(hub):
    (hub[0] / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load("someone/some-model")


def test_a_pth_file_of_a_repository_is_read_by_its_name(monkeypatch, tmp_path):
    peer, asked = peers.classifier(hidden_size=384, num_attention_heads=6), []
    torch.save({"module": peers.official(peer)}, tmp_path / "base.pth")

    def download(repository, name):
        asked.append((repository, name))
        return str(tmp_path / "base.pth")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    model = load("OpenGVLab/VideoMAE2/distill/base.pth")
    assert asked == [("OpenGVLab/VideoMAE2", "distill/base.pth")]
    np.testing.assert_array_equal(model.params["head"]["bias"], peer.classifier.bias.detach())


@pytest.mark.parametrize("folder", ["", "flax/"])
def test_a_file_of_a_repository_comes_with_the_vocabulary_beside_it(monkeypatch, tmp_path, folder):
    repository, cache = tmp_path / "repository" / folder, tmp_path / "cache" / folder
    repository.mkdir(parents=True)
    cache.mkdir(parents=True)
    _, vocabulary = write_clip(repository)
    (repository / "config.json").rename(cache / "config.json")  # a file's layout is not asked for: it is in the cache

    def download(name, file):
        shutil.copy(tmp_path / "repository" / file, tmp_path / "cache" / file)
        return str(tmp_path / "cache" / file)

    def snapshot(name, allow_patterns):
        assert name == "someone/some-clip"
        for found in {path for pattern in allow_patterns for path in (tmp_path / "repository").glob(pattern)}:
            shutil.copy(found, cache)
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    source = f"someone/some-clip/{folder}model.safetensors"
    assert load(source).text_encoder.vocab_size == vocabulary.vocab_size
    (cache / "tokenizer.json").unlink()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answering(errors.LocalEntryNotFoundError("no")))
    assert load(source).text_encoder is None  # no network, and no vocabulary in the cache


@pytest.mark.parametrize("source", ["MCG-NJU/videomae-base", "OpenGVLab/VideoMAE2/distill/base.pth"])
def test_a_hub_id_fails_at_once_while_offline(monkeypatch, tmp_path, source):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.perf_counter()
    refused(source, "not in the local cache, and the hub cannot be reached; connect")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: errors.LocalEntryNotFoundError("no"), "cannot be reached; connect"),
        (lambda: ConnectionError("refused"), "cannot be reached; connect"),
        (lambda: type("ReadTimeout", (Exception,), {})("of an HTTP client"), "cannot be reached; connect"),
        (lambda: errors.HfHubHTTPError("busy", response=no_answer(503)), "cannot be reached; connect"),
        (lambda: errors.RepositoryNotFoundError("no", response=no_answer(404)), "no such model on the hub"),
        (lambda: errors.GatedRepoError("no", response=no_answer(403)), "requires a login: run `hf auth login` first"),
        (lambda: errors.HFValidationError("no"), "no such model on the hub"),
    ],
)
def test_errors_of_the_hub_become_one_sentence(monkeypatch, error, words):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answering(error()))
    refused("someone/some-model", words)


def test_a_name_that_no_repository_can_have_is_refused():
    refused("someone/a--b", "no such model on the hub")


@pytest.mark.parametrize("source", ["nowhere.pth", "/nowhere/at/all", "what is this?"])
def test_a_path_that_leads_nowhere_is_named(source):
    refused(source, "there is no file or folder")


def test_a_mistyped_file_in_an_existing_folder_is_not_searched_on_the_hub(monkeypatch, tmp_path):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args: pytest.fail("asked the hub"))
    refused("runs/one/checkpiont.pth", "there is no file or folder")


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """A run, a model of transformers, and a hub that must not be asked."""
    (tmp_path / "runs" / "finetune" / "checkpoints").mkdir(parents=True)
    (tmp_path / "MCG-NJU" / "videomae-base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("hf_hub_download", "snapshot_download"):
        monkeypatch.setattr(huggingface_hub, name, lambda *args, **kwargs: pytest.fail("asked the hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("runs/finetun", r"'runs/finetun' here; did you mean runs/finetune\?$"),
        ("run/finetune", r"'run/finetune' here; did you mean runs/finetune\?$"),
        ("./runs/finetun", r"'./runs/finetun'; did you mean runs/finetune\?$"),
        ("finetun", r"'finetun', nor is it a hub id"),
        ("random:videomae_tiny", r"'random:videomae_tiny'; random weights are for `vidjax embed`, `vidjax index` and"),
        ("runs/else", r"'runs/else' here; the folder runs holds finetune\. If you mean a model on the hub, fetch it"),
        ("MCG-NJU/videomae-large", r"did you mean MCG-NJU/videomae-base\? If .*: hf download MCG-NJU/videomae-large$"),
    ],
)
def test_a_name_similar_to_a_local_folder_is_not_searched_on_the_hub(folders, source, words):
    refused(source, words)


def test_a_cached_model_is_used_even_if_a_folder_has_its_owners_name(folders, monkeypatch):
    cached = folders / "cache" / "models--MCG-NJU--videomae-large"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (cached / "snapshots" / ("0" * 40) / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kwargs: str(folders / "none"))
    with pytest.raises(WeightsError, match=r"there is no file or folder .*none"):  # what the cache gave
        load("MCG-NJU/videomae-large")
