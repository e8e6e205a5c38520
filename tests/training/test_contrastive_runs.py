"""Contrastive runs: what they leave, that they resume, and where their towers and their vocabulary come from."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from shipped import read

import vidjax
from vidjax.cli import main
from vidjax.config import to_saved
from vidjax.data import motion_videos
from vidjax.data.datasets import motion
from vidjax.errors import ConfigError, DataError
from vidjax.files import write_json
from vidjax.models.param_paths import flatten
from vidjax.tasks import build_objective, check
from vidjax.training import evaluate, evaluate_run, loop, train
from vidjax.training import mesh as mesh_lib
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.init.parts import init_parts
from vidjax.training.state import TrainState
from vidjax.weights.read_run import read_params

SMALL = {
    "train__steps": 2, "train__log_every": 1, "train__checkpoint_every": 1, "data__global_batch": 16,
    "optim__warmup_steps": 1, "contrastive__projection": 8, "train__accumulate": 2, "eval__batch": 8,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_device():
    """Train on one device: tests/objectives/test_contrastive.py has several; eight compile too slowly."""
    with pytest.MonkeyPatch.context() as patch:
        for room in (loop, evaluate_run):
            patch.setattr(room, "make_mesh", lambda config: mesh_lib.make_mesh(config, jax.devices()[:1]))
        yield


@pytest.fixture(scope="module")
def learned(one_device, tmp_path_factory):
    """A run of 200 steps from random weights, and its results."""
    folder = tmp_path_factory.mktemp("learned") / "run"
    return folder, train(read("motion_contrastive"), folder)


@pytest.mark.slow
def test_captions_and_videos_find_each_other_after_200_steps(learned):
    results = learned[1]
    assert results["eval/num_scored"] == results["eval/num_expected"] == 256
    assert results["eval/t2v_r1"] > 5 * results["eval/chance_t2v_r1"]
    assert results["eval/v2t_r1"] > 5 * results["eval/chance_v2t_r1"]


@pytest.mark.slow
def test_a_search_of_its_index_by_a_sentence_finds_the_colour_and_the_motion(learned, tmp_path, capsys):
    """Digits take more steps (docs/results.md). By chance, one video in 48 is red and moves to the left."""
    videos, index = pathlib.Path(motion_videos.prepare()), str(tmp_path / "index")
    assert main(["index", str(videos / "test"), "--model", str(learned[0]), "--every", "0.4", "--out", index]) == 0
    capsys.readouterr()
    assert main(["search", index, "a red seven moves left", "--top", "10", "--per-video", "1", "--json"]) == 0
    found = [moment["video"] for moment in json.loads(capsys.readouterr().out)["moments"]]
    captions = {str(videos / about["video"]): about["caption"] for about in motion_videos.annotations(videos)}
    right = [captions[video].startswith("a red ") and "moves left" in captions[video] for video in found]
    assert sum(right) >= 4


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The folder of a few motion videos."""
    folder = tmp_path_factory.mktemp("motion")
    return motion_videos.prepare(str(folder), motion_videos.MotionSpec(train_videos=16, test_videos=0, val_videos=6))


@pytest.fixture(scope="module")
def run(short, one_device, tmp_path_factory):
    """A finished run of two steps, and its results."""
    folder = tmp_path_factory.mktemp("runs") / "contrastive"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "write_videos", lambda folder, split: short)
        return folder, train(config_of(), folder)


def config_of(**changes):
    return read("motion_contrastive", **SMALL | changes)


def test_a_run_leaves_ranks_and_a_vocabulary_and_embeds_texts_and_videos(run, short):
    folder, results = run
    assert (results["eval/num_scored"], results["eval/num_expected"], results["eval/num_captions"]) == (6, 6, 6)
    lines = [json.loads(line) for line in (folder / "retrieval.jsonl").read_text().splitlines()]
    captions = {about["id"]: about["caption"] for about in motion_videos.annotations(short) if about["split"] == "val"}
    assert {line["id"]: line["captions"] for line in lines} == {key: [text] for key, text in captions.items()}
    ranks = [line["ranks_of_videos"][0] for line in lines]
    assert np.mean([rank <= 5 for rank in ranks]) == pytest.approx(results["eval/t2v_r5"])
    model = vidjax.from_pretrained(str(folder))
    about = next(about for about in motion_videos.annotations(short) if about["split"] == "val")
    texts = model.embed_text([line["captions"][0] for line in lines])
    video = model.embed(str(pathlib.Path(short) / about["video"]), features=["embedding"])["embedding"]
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-5)
    own = next(number for number, line in enumerate(lines) if line["id"] == about["id"])
    similar = texts @ np.asarray(video)
    # The verb's clip is the evaluation's, so the first caption of its list is the most similar one here too.
    assert lines[own]["first_caption"] == lines[int(similar.argmax())]["captions"][0]
    assert lines[own]["rank_of_captions"] == 1 + sum(similar > similar[own])


def test_a_stopped_run_resumes_with_the_losses_and_the_vocabulary_of_one_that_was_not(
    run, short, monkeypatch, tmp_path
):
    folder, results = run
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: short)
    begun, stopped = tmp_path / "run", (folder / "checkpoints" / "1").is_dir()
    assert stopped
    shutil.copytree(folder, begun)
    shutil.rmtree(begun / "checkpoints" / "2")
    again = train(config_of(), begun)
    assert losses(begun) == losses(folder)
    assert (begun / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert again["eval/v2t_median_rank"] == results["eval/v2t_median_rank"]


def losses(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def test_another_folder_scores_the_run_with_its_own_vocabulary(run, short, monkeypatch, tmp_path):
    folder, results = run
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: short)
    monkeypatch.setattr("vidjax.data.sources.embedded_texts.learn_vocabulary", None)  # it must not be learned again
    again = evaluate(config_of(init_from=str(folder), mode="evaluate"), tmp_path)
    assert again["eval/t2v_r5"] == pytest.approx(results["eval/t2v_r5"])


def start(config):
    """Parameters that would be zeros without the checkpoints of a configuration, and the notes on these."""
    objective = build_objective(config, 0)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    zeros = jax.tree.map(lambda leaf: jax.device_put(np.zeros(leaf.shape, leaf.dtype)), shapes)
    params, notes = init_parts(zeros, config, objective.parts)
    return flatten(jax.device_get(params)), notes


def test_towers_start_from_one_run_or_each_from_its_own(run, tmp_path):
    folder, _ = run
    theirs = flatten(read_params(folder)[1])
    whole, _ = start(config_of(init_from=str(folder)))
    assert whole.keys() == theirs.keys()
    assert all(np.array_equal(whole[name], theirs[name]) for name in theirs)
    text, notes = start(config_of(contrastive__text_from=str(folder)))
    same = {name for name in theirs if np.array_equal(text[name], theirs[name]) and np.any(theirs[name])}
    assert {name.partition("/")[0] for name in same} == {"text", "text_projection"}
    assert notes == [f"text: text, text_projection of {folder}; new: none"]
    other, notes = start(config_of(init_from=str(folder), contrastive__projection=4))
    assert not other["video_projection/kernel"].any()
    assert "new: text_projection, video_projection" in notes[0]
    with pytest.raises(
        ConfigError, match=r"text/.* has shape .*; set contrastive.text, vocab_size and num_tokens as in"
    ):
        start(config_of(contrastive__text_from=str(folder), contrastive__num_tokens=20))
    with pytest.raises(ConfigError, match=r"config.contrastive.text_from: "):
        start(config_of(contrastive__text_from=str(tmp_path / "nothing")))


@pytest.mark.parametrize("text", ["none", "lora"])
def test_a_text_tower_of_random_weights_is_not_frozen(tmp_path, text):
    config = read("motion_pretrain")
    params = jax.jit(lambda: build_objective(config, 0).init(jax.random.key(0), {})[0])()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, TrainState(np.int32(0), params, {}, {}, {}), {"fingerprint": {"same": {}, "noted": {}}})
    checkpoints.close()
    write_json(tmp_path / "config.json", to_saved(config))
    with pytest.raises(
        ConfigError, match=rf"train_text={text} keeps .* but config.init_from=\S+ has no text tower; name"
    ):
        start(config_of(init_from=str(tmp_path), contrastive__train_text=text, model__lora__rank=2))


def test_a_clip_of_transformers_gives_both_towers_their_projections_and_the_scale(run, tmp_path):
    torch = pytest.importorskip("torch", reason="it writes the CLIP (extra: test)")
    transformers = pytest.importorskip("transformers", reason="it writes the CLIP (extra: test)")
    vision = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384}
    text = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    text |= {"vocab_size": 640, "max_position_embeddings": 16, "eos_token_id": 639, "bos_token_id": 638}
    torch.manual_seed(0)
    made = transformers.CLIPModel(
        transformers.CLIPConfig(
            vision_config=vision | {"image_size": 24, "patch_size": 8}, text_config=text, projection_dim=8
        )
    )
    made.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"has a text tower, but no vocabulary next to it; put its tokenizer.json, "):
        start(read("contrastive_msrvtt", init_from=str(tmp_path), contrastive__projection=8))
    shutil.copy(run[0] / "tokenizer.json", tmp_path)
    found, notes = start(read("contrastive_msrvtt", init_from=str(tmp_path), contrastive__projection=8))
    state = made.state_dict()
    np.testing.assert_array_equal(found["video_projection/kernel"], state["visual_projection.weight"].numpy().T)
    np.testing.assert_array_equal(found["text_projection/kernel"], state["text_projection.weight"].numpy().T)
    assert found["logit_scale"] == pytest.approx(np.log(1 / 0.07), rel=1e-4)
    assert "new: none" in notes[0]


def test_a_frozen_text_tower_needs_weights_and_a_named_text_model_needs_its_vocabulary(
    run, short, monkeypatch, tmp_path
):
    with pytest.raises(
        ConfigError, match=r"contrastive.train_text=none keeps the text tower's initial weights, but neither"
    ):
        check(config_of(contrastive__train_text="none"))
    with pytest.raises(
        ConfigError, match=r"train_text=lora adapts the text tower by config.model.lora, whose rank is 0"
    ):
        check(config_of(contrastive__train_text="lora", init_from="somewhere"))
    with pytest.raises(ConfigError, match=r"clip_group=4 clips gradients per part of a batch"):
        check(config_of(optim__clip_group=4))
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: short)
    with pytest.raises(
        ConfigError, match=r"text_from='openai/clip' is not a folder with a vocabulary; set config.contr"
    ):
        train(config_of(contrastive__text_from="openai/clip"), tmp_path)
    with pytest.raises(ConfigError, match=r"has 640 tokens; set config.contrastive.vocab_size=640 instead of 700"):
        train(config_of(contrastive__tokenizer=str(run[0]), contrastive__vocab_size=700), tmp_path)
    with pytest.raises(DataError, match="mistyped"):  # although init_from has a vocabulary
        train(config_of(contrastive__tokenizer="mistyped", init_from=str(run[0])), tmp_path)
