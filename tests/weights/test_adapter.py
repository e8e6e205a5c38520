"""Runs with LoRA and their adapters: saved apart, merged by every reader, resumed to the bit, and refused elsewhere."""

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
from scipy.special import softmax
from shipped import read

import vidjax
from vidjax.cli import main
from vidjax.config import SCHEMA, to_saved
from vidjax.data.loader import train_batches
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.evaluation.features.store import FeatureStore
from vidjax.files import write_json
from vidjax.models.outputs import outputs
from vidjax.models.param_paths import flatten
from vidjax.tasks import build_objective
from vidjax.training import evaluate, train
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.init.video_model import init_video_model
from vidjax.training.state import TrainState
from vidjax.weights.read_run import read_params, read_unmerged

STEPS = {
    "train__steps": 4, "train__log_every": 1, "train__checkpoint_every": 2, "data__global_batch": 8, "eval__clips": 1,
    "optim__warmup_steps": 1, "optim__base_lr": 0.01,
}  # fmt: skip
LORA = STEPS | {"model__lora__rank": 4, "model__lora__alpha": 8.0}
FILES = ("adapter.safetensors", "adapter.json")


@pytest.fixture(scope="module", autouse=True)
def few_videos(tmp_path_factory):
    """A small part of the built-in data."""
    from vidjax.data import motion_videos
    from vidjax.data.datasets import motion

    spec = motion_videos.MotionSpec(train_videos=16, test_videos=0, val_videos=8)
    videos = motion_videos.prepare(str(tmp_path_factory.mktemp("videos")), spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "write_videos", lambda folder, split: videos)
        yield videos


def write_pretrained(folder, seed=0, **changes):
    """The folder of a run of motion_pretrain, with random weights in place of trained ones."""
    config = read("motion_pretrain", **changes)
    params = build_objective(config, 0).init(jax.random.key(seed), {})[0]
    checkpoints = Checkpoints(folder)
    meta = {"fingerprint": {"same": {}, "noted": {}}}
    checkpoints.save(0, TrainState(jnp.int32(0), params, {}, {}, {}), meta)
    checkpoints.close()
    write_json(folder / "config.json", to_saved(config))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A pre-trained run, which has no head."""
    return write_pretrained(tmp_path_factory.mktemp("base") / "run")


@pytest.fixture(scope="module")
def adapted(base):
    folder = base.parent / "adapted"
    train(read("motion_finetune", init_from=str(base), train__eval_every=2, **LORA), folder)
    return folder


def copied(run, folder):
    """The two files of an adapter, as a user would pass them on."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(run / name, folder)
    return folder


def about_of(folder, **changes):
    """Change adapter.json."""
    path = folder / FILES[1]
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def clips():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 24, 24, 3), dtype=np.uint8)


def assert_same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_adapter_holds_the_head_and_the_terms_and_names_its_base(base, adapted):
    arrays = safetensors.numpy.load_file(adapted / FILES[0])
    step, params = read_unmerged(adapted, "best", ema=True)
    flat = flatten(params)
    assert arrays.keys() == {path for path in flat if path.startswith(("lora/", "head/"))}
    for path, array in arrays.items():
        np.testing.assert_array_equal(array, flat[path])
    about = json.loads((adapted / FILES[1]).read_text())
    assert about["base"] == str(base)
    assert (about["rank"], about["alpha"], about["step"]) == (4, 8.0, step)
    assert about["targets"] == ["encoder/blocks/attn/query", "encoder/blocks/attn/value"]
    assert about["labels"] == json.loads((adapted / "labels.json").read_text())
    assert about["config"]["schema"] == SCHEMA
    assert (adapted / FILES[0]).stat().st_size < 4 * sum(array.size for array in arrays.values()) + 2000
    assert sum(array.size for array in arrays.values()) < 0.05 * sum(leaf.size for leaf in flat.values())


def test_the_base_in_the_run_is_that_of_its_source_to_the_bit(base, adapted):
    theirs, ours = flatten(read_params(base)[1]), flatten(read_unmerged(adapted, "last", ema=False)[1])
    held = [path for path in ours if path.startswith("encoder/") and path in theirs]
    assert any("attn/qkv/kernel" in path for path in held)
    for path in held:
        np.testing.assert_array_equal(ours[path], theirs[path])


def test_a_merged_model_has_the_outputs_of_base_and_terms(adapted):
    """W x + alpha / rank * B^T A^T x, by adding the products to a NumPy copy of the kernels."""
    _, params = read_unmerged(adapted, "best", ema=True)
    kernel = np.float64(params["encoder"]["blocks"]["attn"]["qkv"]["kernel"])
    terms = params.pop("lora")["encoder"]["blocks"]["attn"]
    for part, name in ((0, "query"), (2, "value")):
        change = np.einsum("lir,lro->lio", np.float64(terms[name]["A"]), terms[name]["B"])
        assert change.any()
        kernel[:, :, part] += 8.0 / 4 * change.reshape(kernel[:, :, part].shape)
    params["encoder"]["blocks"]["attn"]["qkv"]["kernel"] = np.float32(kernel)
    model = vidjax.from_pretrained(adapted)
    pixels = (clips() / 255 - np.array(model.mean)) / np.array(model.std)
    wanted = jax.jit(lambda pixels: outputs(model.module, params, pixels))(pixels.astype(np.float32))["logits"]
    np.testing.assert_allclose(model(clips())["logits"], wanted, atol=1e-6)
    assert "LoRA of rank 4 is merged into the weights" in model.notes


@pytest.mark.parametrize("which", ["folder", "file"])
def test_the_adapter_on_its_base_is_the_model_of_the_run(adapted, tmp_path, which):
    folder = copied(adapted, tmp_path / "copy")
    run, alone = (vidjax.from_pretrained(of) for of in (adapted, folder if which == "folder" else folder / FILES[0]))
    assert_same(run.params, alone.params)
    assert run.labels == alone.labels
    assert run.clips == alone.clips
    np.testing.assert_array_equal(run(clips())["logits"], alone(clips())["logits"])


def test_export_convert_predict_embed_and_evaluation_use_the_merged_weights(adapted, tmp_path, few_videos, capsys):
    model, wanted = vidjax.from_pretrained(adapted), vidjax.from_pretrained(adapted)(clips())["logits"]
    assert main(["export", str(adapted), str(tmp_path / "exported")]) == 0
    np.testing.assert_allclose(vidjax.from_pretrained(tmp_path / "exported")(clips())["logits"], wanted, atol=1e-6)
    assert main(["convert", str(adapted), str(tmp_path / "converted")]) == 0
    np.testing.assert_allclose(vidjax.from_pretrained(tmp_path / "converted")(clips())["logits"], wanted, atol=1e-6)
    video = min(pathlib.Path(few_videos).rglob("*.mp4"))
    answers, found = [], []
    for number, source in enumerate((adapted, copied(adapted, tmp_path / "copy"), tmp_path / "converted")):
        capsys.readouterr()
        assert main(["predict", str(video), "--model", str(source), "--top", "8", "--json"]) == 0
        answers.append({line["label"]: line["probability"] for line in json.loads(capsys.readouterr().out)[0]["top"]})
        store = tmp_path / f"features{number}"
        words = ("--data", str(video), "--features", "pooled", "--dtype", "float32", "--out", str(store))
        assert main(["embed", "--model", str(source), *words]) == 0
        found.append(FeatureStore.open(store).array("pooled")[0])
    assert answers[0] == answers[1] == pytest.approx(answers[2], abs=1e-6)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
    head = model.params["head"]  # on the features of `embed`, it answers as `predict` does
    by_hand = dict(zip(model.labels, softmax(found[0] @ head["kernel"] + head["bias"]), strict=True))
    assert answers[0] == pytest.approx(by_hand, abs=1e-5)
    again = evaluate(read("motion_finetune", init_from=str(adapted), **LORA), tmp_path / "again")
    assert again["eval/top1"] == json.loads((adapted / "results.json").read_text())["eval/top1"]


def test_a_stopped_run_resumes_to_the_bit(base, adapted, tmp_path):
    class Stopping:
        def __init__(self, *arguments, **options):
            self._batches, self._number = train_batches(*arguments, **options), 0

        def __iter__(self):
            return self

        def __next__(self):
            self._number += 1
            if self._number == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return next(self._batches)

        def close(self):
            self._batches.close()

    config = read("motion_finetune", init_from=str(base), train__eval_every=2, **LORA)
    with pytest.raises(SystemExit):
        train(config, tmp_path / "run", make_batches=Stopping)
    assert not (tmp_path / "run" / FILES[0]).exists()
    shutil.move(base, base.with_name("away"))  # the run holds its base
    try:
        train(config, tmp_path / "run")
    finally:
        shutil.move(base.with_name("away"), base)
    assert_same(read_unmerged(tmp_path / "run", "last", ema=False), read_unmerged(adapted, "last", ema=False))
    assert (tmp_path / "run" / FILES[0]).read_bytes() == (adapted / FILES[0]).read_bytes()


def test_a_run_resumes_only_with_its_rank(base, adapted):
    with pytest.raises(ResumeError, match=r"model.lora.rank was 4, is now 2"):
        train(read("motion_finetune", init_from=str(base), **LORA | {"model__lora__rank": 2}), adapted)


def test_an_adapted_run_is_a_base_itself(adapted):
    merged = flatten(read_params(adapted)[1])["encoder/blocks/attn/qkv/kernel"]
    objective = build_objective(read("motion_finetune", **LORA), 8)
    params = jax.jit(lambda: objective.init(jax.random.key(1), {})[0])()
    pixels = {"mean": objective.mean, "std": objective.std}
    found, _ = init_video_model(params, objective.parts[0], str(adapted), **pixels)
    np.testing.assert_array_equal(flatten(found)["encoder/blocks/attn/qkv/kernel"], merged)


def test_another_base_is_refused(base, adapted, tmp_path):
    folder = copied(adapted, tmp_path / "copy")
    other = write_pretrained(tmp_path / "other", seed=1)
    with pytest.raises(WeightsError, match=r"was trained on weights other than those now in \S+other; set `base`"):
        vidjax.from_pretrained(about_of(folder, base=str(other)))
    wide = write_pretrained(tmp_path / "wide", model__spec__width=48)
    with pytest.raises(
        WeightsError, match=r"does not fit its base \S+wide: encoder/.* is of shape .*48.* in the base, and"
    ):
        vidjax.from_pretrained(about_of(folder, base=str(wide)))
    with pytest.raises(WeightsError, match=r"the base of \S+ cannot be read: there is no file or folder '/gone/base'"):
        vidjax.from_pretrained(about_of(folder, base="/gone/base"))


def test_a_damaged_adapter_is_refused_in_a_sentence(adapted, tmp_path):
    folder = copied(adapted, tmp_path / "copy")
    arrays = safetensors.numpy.load_file(folder / FILES[0])
    path = "lora/encoder/blocks/attn/value/B"
    safetensors.numpy.save_file(arrays | {path: arrays[path][..., :48].copy()}, folder / FILES[0])
    with pytest.raises(
        WeightsError, match=rf"does not fit adapter.json: {path} is \(4, 4, 48\) in the file and \(4, 4, 96\)"
    ):
        vidjax.from_pretrained(folder)
    (folder / FILES[0]).write_bytes((adapted / FILES[0]).read_bytes()[:-100])
    with pytest.raises(WeightsError, match="truncated"):
        vidjax.from_pretrained(folder)
    shutil.copy(adapted / FILES[0], folder)
    for changes in ({"rank": "4"}, {"config": {}}, {"targets": ["encoder/nothing"]}):
        with pytest.raises(WeightsError, match=r"adapter\.json"):
            vidjax.from_pretrained(about_of(copied(adapted, folder), **changes))
    (folder / FILES[1]).unlink()
    with pytest.raises(WeightsError, match=r"adapter\.json, which names the base of adapter\.safetensors, is missing"):
        vidjax.from_pretrained(folder)


def test_a_mistake_ends_before_anything_is_written(base, tmp_path):
    with pytest.raises(ConfigError, match="'qeury' matches none of the model's projections"):
        train(read("motion_finetune", init_from=str(base), model__lora__targets="qeury", **LORA), tmp_path / "run")
    assert not (tmp_path / "run").exists()
