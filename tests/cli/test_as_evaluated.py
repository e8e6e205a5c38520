"""Verbs give the same answers and take the same clips as the evaluation of the run."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tokenizers
from random_runs import write_run
from scipy.special import softmax
from videos import encode, moving_texture

import vidjax
from vidjax import config as config_lib
from vidjax.cli import main
from vidjax.data import eval_batches, motion_videos, open_source
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.datasets import motion
from vidjax.data.video import container, decode, packet_index
from vidjax.evaluation.features.store import FeatureStore
from vidjax.training import evaluate
from vidjax.training.probing import open_backbone
from vidjax.viz import reconstruction

CLASSES = ("a", "b", "c", "d")
SMALL = {
    "data.num_frames": 4, "data.image_size": 24, "data.mean": (0.4, 0.5, 0.6), "model.dtype": "float32",
    "eval.batch": 8, "data.threads": 1,
}  # fmt: skip
RUNS = {
    "videomae": {
        "data.interpolation": "bicubic", "data.sampling": "segment", "eval.merge": "sum_logits",
        "eval.clips": 2, "eval.crops": 3,
    },
    "timesformer": {
        "data.interpolation": "area", "data.sampling": "dense", "data.stride": 3, "eval.merge": "max",
        "eval.clips": 3, "eval.crops": 2,
    },
    "vivit": {
        "data.interpolation": "bicubic", "data.sampling": "dense_span", "data.stride": 2, "eval.merge": "mean_softmax",
        "eval.clips": 2, "eval.crops": 2,
    },
    "videomamba": {
        "data.interpolation": "area", "data.sampling": "segment", "eval.merge": "sum_logits",
        "eval.clips": 1, "eval.crops": 3,
    },
}  # fmt: skip


def config_of(task, **changes):
    config = config_lib.defaults()
    config.update_from_flattened_dict(SMALL | {"task": task} | changes)
    return config_lib.from_dict(config.to_dict())


def evaluated(config, run, folder, name):
    """The lines written by the evaluation of a run."""
    evaluate(dataclasses.replace(config, mode="evaluate", init_from=str(run)), folder)
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def said(capsys, verb, run, videos, *options):
    """The answers of a verb."""
    capsys.readouterr()
    assert main([verb, *map(str, videos), "--model", str(run), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Four wide and tall videos, one in each class."""
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(CLASSES):
        path = folder / "val" / name / f"{number}.mp4"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode(moving_texture(20 + number, *((32, 44) if number % 2 else (44, 32)), seed=number)))
    return folder


@pytest.fixture(scope="module")
def classifiers(root, tmp_path_factory):
    """Configuration and folder of a run of each family, by its name."""
    found = {}
    for family, changes in RUNS.items():
        changes = {"model.name": f"{family}_tiny", "data.root": str(root), "data.train_split": "val"} | changes
        config = config_of("classification", **changes)
        found[family] = config, write_run(tmp_path_factory.mktemp("runs") / family, config, 4, CLASSES)
    return found


@pytest.mark.parametrize("family", RUNS)
def test_classes_are_those_of_the_evaluation(family, classifiers, root, tmp_path, capsys):
    config, run = classifiers[family]
    lines = evaluated(config, run, tmp_path / "scores", "predictions.jsonl")
    answers = said(capsys, "predict", run, [root / line["id"] for line in lines])
    views = config.eval.clips * config.eval.crops
    for line, entry in zip(lines, answers, strict=True):
        assert [CLASSES.index(top["label"]) for top in entry["top"]] == line["top"]
        scores = softmax(np.array(line["scores"]) / views) if config.eval.merge == "sum_logits" else line["scores"]
        np.testing.assert_allclose([top["probability"] for top in entry["top"]], scores, atol=1e-6)
    first, last = ({top["label"]: top["probability"] for top in entry["top"]} for entry in (answers[0], answers[-1]))
    assert max(abs(first[name] - last[name]) for name in CLASSES) > 1e-3


@pytest.fixture
def videos_of_motion(monkeypatch, tmp_path):
    """A few short and long videos of the built-in data."""
    spec = motion_videos.MotionSpec(train_videos=0, test_videos=0, val_videos=4, long_videos=3)
    folder = motion_videos.prepare(str(tmp_path / "motion"), spec)
    monkeypatch.setattr(motion, "write_videos", lambda *_: folder)
    return {line["id"]: f"{folder}/{line['video']}" for line in motion_videos.annotations(folder)}


WINDOWS = {"model.name": "videomae_tiny", "data.name": "motion", "data.eval_split": "long", "data.stride": 3}
WINDOWS |= {"data.interpolation": "bicubic", "eval.crops": 2}


@pytest.mark.parametrize(
    "windows",
    [
        {"eval.window_stride": 0.5, "eval.window_merge": "mean"},
        {"eval.window_stride": 0.0, "eval.clips": 4, "eval.window_merge": "max"},
    ],
)
def test_windows_are_those_of_the_evaluation(windows, videos_of_motion, tmp_path, capsys):
    config = config_of("multi_label", **WINDOWS, **windows)
    run = write_run(tmp_path / "run", config, 8, motion_videos.CLASSES)
    lines = evaluated(config, run, tmp_path / "scores", "windows.jsonl")
    whole = [json.loads(line) for line in (tmp_path / "scores" / "predictions.jsonl").read_text().splitlines()]
    answers = said(capsys, "predict", run, [videos_of_motion[line["id"]] for line in whole])
    found = [window for entry in answers for window in entry["windows"]]
    assert len(found) == len(lines) > 3 * len(whole)
    assert [(w["start"], w["end"]) for w in found] == [(line["start"], line["end"]) for line in lines]
    for line, entry in zip(lines + whole, found + answers, strict=True):
        assert [motion_videos.CLASSES.index(top["label"]) for top in entry["top"]] == line["top"]
        np.testing.assert_allclose([top["probability"] for top in entry["top"]], line["scores"], atol=1e-6)
    assert np.ptp([window["top"][0]["probability"] for window in found]) > 1e-3


def test_numbers_are_those_of_the_evaluation(videos_of_motion, tmp_path, capsys):
    changes = {"eval.clips": 2, "eval.merge": "sum_logits", "data.interpolation": "bicubic", "data.stride": 2}
    config = config_of("regression", **{"model.name": "timesformer_tiny", "data.name": "motion"}, **changes)
    run = write_run(tmp_path / "run", config, 2, motion.TARGETS, scale=0.1)
    lines = evaluated(config, run, tmp_path / "scores", "predictions.jsonl")
    answers = said(capsys, "predict", run, [videos_of_motion[line["id"]] for line in lines])
    for line, entry in zip(lines, answers, strict=True):
        assert [value["name"] for value in entry["values"]] == list(motion.TARGETS)
        np.testing.assert_allclose([value["value"] for value in entry["values"]], line["prediction"], atol=1e-6)
    assert np.ptp([line["prediction"][0] for line in lines]) > 1e-3


def test_actions_are_those_of_the_evaluation_and_as_probable_as_noun_and_verb_together(
    videos_of_motion, tmp_path, capsys
):
    changes = {"data.action_classes": (10, 8), "eval.clips": 2, "eval.crops": 1, "eval.merge": "sum_logits"}
    config = config_of(
        "action", **{"model.name": "timesformer_tiny", "data.name": "motion", "data.stride": 2}, **changes
    )
    nouns, verbs = motion.DIGITS, motion_videos.CLASSES
    run = write_run(tmp_path / "run", config, 0, (*nouns, *verbs), scale=0.1)
    lines = evaluated(config, run, tmp_path / "scores", "predictions.jsonl")
    videos = [videos_of_motion[line["id"]] for line in lines]
    answers = said(capsys, "predict", run, videos, "--top", "80")
    batches = eval_batches(
        open_source(config.data, "val", "action"), config.data, ClipRecipe.of(config.data, config.eval), batch=4
    )
    views, model = np.moveaxis(next(batches)["video"], 1, 0), vidjax.from_pretrained(run)
    batches.close()
    logits = np.mean([jax.jit(model.outputs)(model.params, view)["logits"] for view in views], axis=0)
    for line, entry, (noun, verb) in zip(lines, answers, ((row[:10], row[10:]) for row in logits), strict=True):
        pairs = [(nouns.index(top["noun"]), verbs.index(top["verb"])) for top in entry["top"]]
        assert [list(pair) for pair in pairs[:5]] == line["top"]
        expected = np.outer(softmax(noun), softmax(verb))
        np.testing.assert_allclose(
            [top["probability"] for top in entry["top"]], [expected[pair] for pair in pairs], rtol=1e-4
        )
        assert sum(top["probability"] for top in entry["top"]) == pytest.approx(1, abs=1e-5)  # all 10 x 8 of them
        assert entry["top"][0]["label"] == f"{entry['top'][0]['verb']} {entry['top'][0]['noun']}"
    assert np.ptp([entry["top"][0]["probability"] for entry in answers]) > 1e-3
    assert main(["predict", videos[0], "--model", str(run), "--top", "1"]) == 0
    shown, best = capsys.readouterr(), answers[0]["top"][0]
    assert [word in shown.out for word in ("verb", "noun", best["verb"], f"{best['probability']:.1%}")] == [True] * 4
    (entry,) = said(capsys, "predict", run, videos[:1], "--every", "0.5")
    for window in entry["windows"]:
        assert [line["label"] for line in window["top"]] == [f"{line['verb']} {line['noun']}" for line in window["top"]]
    assert len(entry["windows"]) > 1


@pytest.mark.slow
def test_captions_are_those_of_the_evaluation(videos_of_motion, tmp_path, capsys):
    backend = tokenizers.ByteLevelBPETokenizer()
    backend.train_from_iterator(["a red five moves left"], vocab_size=280, special_tokens=["<|endoftext|>"])
    (tmp_path / "words").mkdir()
    backend.save_model(str(tmp_path / "words"))
    changes = {
        "model.name": "videomae_tiny", "data.name": "motion", "data.interpolation": "bicubic", "data.stride": 2,
        "caption.tokenizer": str(tmp_path / "words"), "caption.vocab_size": backend.get_vocab_size(),
        "caption.end_token": 0, "caption.num_tokens": 6, "caption.decoder": "tiny", "caption.beams": 2,
        "eval.clips": 1, "eval.crops": 1,
    }  # fmt: skip
    config = config_of("captioning", **changes)
    run = write_run(tmp_path / "run", config, 0)
    backend.save_model(str(run))
    lines = evaluated(config, run, tmp_path / "scores", "captions.jsonl")
    answers = said(capsys, "caption", run, [videos_of_motion[line["id"]] for line in lines])
    assert [entry["caption"] for entry in answers] == [line["caption"] for line in lines]
    assert len({line["caption"] for line in lines}) > 1


def test_features_use_the_clips_of_the_evaluation(classifiers, root, tmp_path, capsys):
    config, run = classifiers["videomae"]
    assert (
        main(["embed", f"--model={run}", f"--data={root}", "--split=val", f"--out={tmp_path}", "--dtype=float32"]) == 0
    )
    store, model = FeatureStore.open(tmp_path), vidjax.from_pretrained(run)
    clips, _ = central_clips(config)
    expected = jax.jit(model.outputs)(model.params, clips)["pooled"]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(store.array("pooled"), expected, atol=1e-6 * scale)
    assert store.header.clip["interpolation"] == "bicubic"
    probed = open_backbone(str(run), dataclasses.replace(config.data, interpolation="bilinear"))
    assert probed.clip_recipe.interpolation == "bicubic"


def central_clips(config):
    """The central view of every video of a split, as the evaluation takes it, and the paths of the videos."""
    source = open_source(config.data, "val")
    recipe = ClipRecipe.of(config.data, dataclasses.replace(config.eval, clips=1, crops=1))
    batches = eval_batches(source, config.data, recipe, batch=len(source))
    clips = next(batches)["video"][:, 0]
    batches.close()
    return clips, [row.video for row in (source[number] for number in range(len(source)))]


def test_reconstructions_use_the_runs_own_clips_and_mask(root, tmp_path, monkeypatch, capsys):
    changes = RUNS["videomae"] | {"model.name": "videomae_tiny", "data.root": str(root), "data.train_split": "val"}
    config = config_of("masked_autoencoding", **changes, **{"model.mask": "random", "model.mask_ratio": 0.5})
    run = write_run(tmp_path / "run", config, 0)
    seen = []
    draw = reconstruction.write_reconstructions
    monkeypatch.setattr(reconstruction, "write_reconstructions", lambda *a: seen.append(a[2]) or draw(*a))
    clips, paths = central_clips(config)
    assert main(["reconstruct", paths[1], f"--model={run}", f"--out={tmp_path / 'pictures'}"]) == 0
    np.testing.assert_array_equal(seen[0][0], clips[1])
    assert (
        "4 frames spread over the whole video; 50.0% of the cubes are hidden by a random mask"
        in capsys.readouterr().err
    )
    assert main(["reconstruct", paths[1], f"--model={run}", f"--out={tmp_path / 'tubes'}", "--mask=tube"]) == 0
    assert "note: the model was trained with a random mask and a ratio of 0.5" in capsys.readouterr().err


def test_a_run_that_hid_time_slices_is_shown_with_time_slices_hidden(root, tmp_path, monkeypatch):
    changes = {"model.name": "videomae_tiny", "data.root": str(root), "data.train_split": "val"}
    config = config_of("masked_autoencoding", **changes, **{"model.mask": "frame", "model.mask_ratio": 0.5})
    run = write_run(tmp_path / "run", config, 0)
    seen = {}
    monkeypatch.setattr(reconstruction.panels, "draw", lambda clips, *_: seen.update(clips))
    _, paths = central_clips(config)
    assert main(["reconstruct", paths[0], f"--model={run}", f"--out={tmp_path / 'pictures'}"]) == 0
    hidden = (seen["masked"][0] == 0.5).all(axis=(1, 2, 3))
    assert hidden.sum() == 2  # of the 4 frames
    np.testing.assert_array_equal(seen["masked"][0][~hidden], seen["input"][0][~hidden])


def test_a_video_is_opened_once_and_each_frame_of_its_windows_read_once(
    videos_of_motion, tmp_path, monkeypatch, capsys
):
    changes = {"eval.window_stride": 0.4, "data.stride": 2, "data.num_frames": 8}
    config = config_of("multi_label", **WINDOWS | changes)
    run = write_run(tmp_path / "run", config, 8, motion_videos.CLASSES)
    opened, read = [], []
    open_file, iterate = container.open_container, decode.Video.iterate

    def reading(self, wanted):
        for number, frame in iterate(self, wanted):
            read.append(number)
            yield number, frame

    for module in (decode, packet_index):
        monkeypatch.setattr(module, "open_container", lambda *where: opened.append(where[0]) or open_file(*where))
    monkeypatch.setattr(decode.Video, "iterate", reading)
    [entry] = said(capsys, "predict", run, [videos_of_motion["long_00000"]])
    assert len(entry["windows"]) == 17  # of 16 frames, every 4th of 80
    assert len(opened) == 1
    assert sorted(read) == list(range(0, 80, 2))
