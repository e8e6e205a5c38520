"""Contrastive runs with LoRA: the adapter on its bases is the run's model, with its texts, and searches as it does."""

import json
import os
import pathlib
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from shipped import read

import vidjax
from vidjax.cli import main
from vidjax.config import to_saved
from vidjax.data import motion_videos
from vidjax.data.datasets import motion
from vidjax.data.loader import train_batches
from vidjax.data.text_encoding import learn_vocabulary
from vidjax.errors import WeightsError
from vidjax.files import write_json
from vidjax.models.lora import initial_terms
from vidjax.models.param_paths import flatten, split
from vidjax.tasks import build_objective
from vidjax.training import loop, train
from vidjax.training import mesh as mesh_lib
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.init.parts import init_parts
from vidjax.training.state import TrainState
from vidjax.weights.adapter import save_adapter
from vidjax.weights.read_run import read_params, read_unmerged

SMALL = {
    "train__steps": 2, "train__log_every": 1, "train__checkpoint_every": 1, "data__global_batch": 16,
    "optim__warmup_steps": 1, "optim__base_lr": 0.01, "contrastive__projection": 8, "eval__batch": 8,
}  # fmt: skip
LORA = SMALL | {"model__lora__rank": 2, "model__lora__alpha": 4.0}
FILES = ("adapter.safetensors", "adapter.json", "tokenizer.json")
TEXTS = ["a red seven moves left", "a white one turns"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A few motion videos, on one device: eight compile too slowly."""
    spec = motion_videos.MotionSpec(train_videos=16, test_videos=0, val_videos=6)
    videos = motion_videos.prepare(str(tmp_path_factory.mktemp("motion")), spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "write_videos", lambda folder, split: videos)
        patch.setattr(loop, "make_mesh", lambda config: mesh_lib.make_mesh(config, jax.devices()[:1]))
        yield pathlib.Path(videos)


def write_run(folder, config, params):
    """A run's folder with the parameters of its last step."""
    checkpoints = Checkpoints(folder)
    meta = {"fingerprint": {"same": {}, "noted": {}}}
    checkpoints.save(0, TrainState(jnp.int32(0), params, {}, {}, {}), meta)
    checkpoints.close()
    write_json(folder / "config.json", to_saved(config))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A pre-training run, which has no text tower, with random weights in place of trained ones."""
    config = read("motion_pretrain")
    params = jax.jit(lambda: build_objective(config, 0).init(jax.random.key(0), {})[0])()
    return write_run(tmp_path_factory.mktemp("base") / "pretrained", config, params)


@pytest.fixture(scope="module")
def adapted(base):
    """A run as a contrastive one with LoRA leaves it: video tower of `base`, terms and text tower random."""
    config = read("motion_contrastive", init_from=str(base), **LORA)
    objective = build_objective(config, 0)
    params = jax.jit(lambda: objective.init(jax.random.key(1), {})[0])()
    params["lora"] = initial_terms(split(params, objective.frozen)[1], config.model.lora, jax.random.key(2))
    params["lora"] = jax.tree.map(lambda leaf: leaf + 0.1, params["lora"])
    params, _ = init_parts(params, config, objective.parts)
    folder = write_run(base.parent / "adapted", config, params)
    learn_vocabulary(TEXTS, config.contrastive.num_tokens, 640).save(folder)
    save_adapter(folder, objective.frozen)
    return folder


@pytest.fixture(scope="module")
def trained(base, videos):
    """The same from two steps of training."""
    folder = base.parent / "trained"
    train(read("motion_contrastive", init_from=str(base), **LORA), folder)
    return folder


def copied(run, folder):
    """The files of an adapter, as a user would pass them on."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(run / name, folder)
    return folder


def assert_same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_adapter_holds_what_was_trained_and_the_base_stays_that_of_its_source(base, adapted):
    arrays = safetensors.numpy.load_file(adapted / FILES[0])
    flat = flatten(read_unmerged(adapted, "best", ema=True)[1])
    assert arrays.keys() == {path for path in flat if not path.startswith("video/")}
    assert {path.partition("/")[0] for path in arrays} == {
        "lora", "text", "video_projection", "text_projection", "logit_scale", "logit_bias"
    }  # fmt: skip
    assert all(path.startswith("lora/video/") for path in arrays if path.startswith("lora/"))
    theirs = flatten(read_params(base)[1], "video/")
    held = [path for path in flat if path.startswith("video/encoder/") and path in theirs]
    assert any("attn/qkv/kernel" in path for path in held)
    for path in held:
        np.testing.assert_array_equal(flat[path], theirs[path])


@pytest.mark.parametrize("which", ["folder", "file"])
def test_the_adapter_on_its_base_is_the_model_of_the_run(adapted, tmp_path, which):
    folder = copied(adapted, tmp_path / "copy")
    run, alone = (vidjax.from_pretrained(of) for of in (adapted, folder if which == "folder" else folder / FILES[0]))
    assert_same(run.params, alone.params)
    assert run.clips == alone.clips
    np.testing.assert_array_equal(run.embed_text(TEXTS), alone.embed_text(TEXTS))


@pytest.mark.slow
def test_it_indexes_and_searches_in_words_and_names_classes_as_the_run_does(trained, videos, tmp_path, capsys):
    arrays = safetensors.numpy.load_file(trained / FILES[0])
    assert any(arrays[path].any() for path in arrays if path.startswith("lora/") and path.endswith("/B"))
    found, folder = [], copied(trained, tmp_path / "copy")
    for number, source in enumerate((trained, folder)):
        index = str(tmp_path / f"index{number}")
        assert main(["index", str(videos / "val"), "--model", str(source), "--every", "0.4", "--out", index]) == 0
        capsys.readouterr()
        assert main(["search", index, TEXTS[0], "--json"]) == 0
        found.append([(each["video"], each["score"]) for each in json.loads(capsys.readouterr().out)["moments"]])
        video = str(min((videos / "val").rglob("*.mp4")))
        assert main(["predict", video, "--model", str(source), "--classes", *TEXTS, "--json"]) == 0
        found[-1].append(json.loads(capsys.readouterr().out)[0]["top"])
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_bit_and_writes_the_same_adapter(base, trained, tmp_path):
    class Stopping:
        def __init__(self, *arguments, **options):
            self._batches, self._number = train_batches(*arguments, **options), 0

        def __iter__(self):
            return self

        def __next__(self):
            self._number += 1
            if self._number == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return next(self._batches)

        def close(self):
            self._batches.close()

    config = read("motion_contrastive", init_from=str(base), **LORA)
    with pytest.raises(SystemExit):
        train(config, tmp_path / "run", make_batches=Stopping)
    assert not (tmp_path / "run" / FILES[0]).exists()
    train(config, tmp_path / "run")
    assert (tmp_path / "run" / FILES[0]).read_bytes() == (trained / FILES[0]).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["lora", "none"])
def test_a_frozen_text_tower_comes_from_a_base_of_its_own(base, adapted, videos, tmp_path, text):
    """Here from an adapter, which is a base as any model is."""
    start = {"init_from": str(base), "contrastive__text_from": str(copied(adapted, tmp_path / "first"))}
    train(read("motion_contrastive", contrastive__train_text=text, **start, **LORA), tmp_path / "run")
    arrays = safetensors.numpy.load_file(tmp_path / "run" / FILES[0])
    assert not any(path.startswith("text/") for path in arrays)
    assert any(path.startswith("lora/text/") for path in arrays) == (text == "lora")
    folder = copied(tmp_path / "run", tmp_path / "copy")
    run, alone = vidjax.from_pretrained(tmp_path / "run"), vidjax.from_pretrained(folder)
    assert_same(run.params, alone.params)
    np.testing.assert_array_equal(run.embed_text(TEXTS), alone.embed_text(TEXTS))
    about = json.loads((folder / FILES[1]).read_text())
    assert about["text_base"] == start["contrastive__text_from"]
    config = read("motion_contrastive", **SMALL)
    params = jax.jit(lambda: build_objective(config, 0).init(jax.random.key(5), {})[0])()
    other = write_run(tmp_path / "other", config, params)
    (folder / FILES[1]).write_text(json.dumps(about | {"text_base": str(other)}))
    with pytest.raises(
        WeightsError,
        match=rf"was trained on weights other than those now in \S+ and {other}; set .* and `text_base`",
    ):
        vidjax.from_pretrained(folder)
