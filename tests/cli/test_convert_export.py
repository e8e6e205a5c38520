"""Weights round-trip: transformers -> vidjax run -> transformers, with the same outputs at every step."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import vidjax
from vidjax.cli import main
from vidjax.config import from_saved
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.motion_videos import CLASSES
from vidjax.errors import WeightsError
from vidjax.models.videomae import VIDEOMAE_SPECS, VideoMAEClassifier
from vidjax.objectives.base import Part
from vidjax.training.convert import save_as_run
from vidjax.training.init.video_model import init_video_model


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).integers(0, 256, (2, 8, 48, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def converted(classifier, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("converted") / "run")
    assert main(["convert", classifier, folder]) == 0
    return folder


def test_a_converted_classifier_is_the_same_model(classifier, converted, clips):
    there, here = vidjax.from_pretrained(classifier), vidjax.from_pretrained(converted)
    assert here.spec == there.spec  # sizes of no preset, and transformers' epsilons
    assert here.labels == CLASSES
    assert here.clip_recipe == there.clip_recipe
    jax.tree.map(np.testing.assert_array_equal, here.params, there.params)
    np.testing.assert_array_equal(here(clips)["logits"], there(clips)["logits"])


def test_a_converted_autoencoder_is_the_same_model(autoencoder, plain_autoencoder, tmp_path):
    for source, normalised in ((autoencoder, True), (plain_autoencoder, False)):
        folder = str(tmp_path / str(normalised))
        assert main(["convert", source, folder]) == 0
        there, here = vidjax.from_pretrained(source), vidjax.from_pretrained(folder)
        assert type(here.module) is type(there.module)
        assert here.spec == there.spec
        jax.tree.map(np.testing.assert_array_equal, here.params, there.params)
        assert here.objective.normalize_target is normalised


def test_a_converted_run_samples_videos_as_its_source(classifier, converted, videos, capsys):
    answers = []
    for source in (classifier, converted):
        assert main(["predict", videos[0], "--model", source, "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]


def test_a_run_samples_videos_as_it_was_trained(converted, videos, tmp_path, capsys):
    run = shutil.copytree(converted, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"] |= {"stride": 1, "sampling": "dense_span"}
    (run / "config.json").write_text(json.dumps(config))
    assert main(["predict", videos[0], "--model", str(run)]) == 0
    assert "1 view of 8 frames in a row" in capsys.readouterr().err


def test_the_configuration_is_a_readable_one_of_the_nearest_preset(converted):
    with open(f"{converted}/config.json") as file:
        config = from_saved(json.load(file))
    assert config.task == "classification"
    assert config.model.name == "videomae_tiny"
    assert (config.data.num_frames, config.data.image_size, config.data.num_classes) == (8, 48, 8)
    assert config.eval.merge == "mean_softmax"


def test_training_can_start_from_a_converted_run(classifier, tmp_path):
    """All weights that fit the preset's sizes are taken; the head for other classes is new."""
    spec = dataclasses.replace(VIDEOMAE_SPECS["tiny"], num_frames=4, image_size=16)
    params = jax.jit(VideoMAEClassifier(spec, 5).init)(jax.random.key(0), np.zeros((1, *spec.clip_shape), np.float32))
    model = dataclasses.replace(
        vidjax.from_pretrained(classifier), module=VideoMAEClassifier(spec, 5), spec=spec, params=params["params"],
        clip_recipe=ClipRecipe(num_frames=4, image_size=16), labels=None,
    )  # fmt: skip
    save_as_run(model, tmp_path / "run")
    fresh = jax.jit(VideoMAEClassifier(spec, 3).init)(jax.random.key(1), np.zeros((1, *spec.clip_shape), np.float32))[
        "params"
    ]
    taken, sentence = init_video_model(fresh, Part("", spec), str(tmp_path / "run"), mean=model.mean, std=model.std)
    jax.tree.map(np.testing.assert_array_equal, taken["encoder"], model.params["encoder"])
    np.testing.assert_array_equal(taken["head"]["kernel"], fresh["head"]["kernel"])
    assert "new: head" in sentence


def test_a_damaged_spec_is_refused_by_name(converted, tmp_path, capsys):
    run = shutil.copytree(converted, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    for damage in ({"breadth": 48}, {"width": "wide"}, [1]):
        config["model"]["spec"] = damage
        (run / "config.json").write_text(json.dumps(config))
        with pytest.raises(WeightsError, match=r"run/config\.json cannot be read by this version of vidjax"):
            vidjax.from_pretrained(run)
    (run / "config.json").write_text('{"model": 48')
    with pytest.raises(WeightsError, match=r"run/config\.json cannot be read by this version of vidjax"):
        vidjax.from_pretrained(run)


def test_what_is_exported_computes_the_same_in_transformers(converted, clips, transformers, tmp_path, capsys):
    import torch

    assert main(["export", converted, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    theirs = transformers.VideoMAEForVideoClassification.from_pretrained(tmp_path / "out").eval()
    ours = vidjax.from_pretrained(converted)
    pixels = (clips.astype(np.float32) / 255 - np.float32(ours.mean)) / np.float32(ours.std)
    with torch.no_grad():
        logits = theirs(torch.tensor(pixels).permute(0, 1, 4, 2, 3)).logits.numpy()
    scale = np.abs(logits).max()
    np.testing.assert_allclose(ours(clips)["logits"], logits, atol=2e-5 * scale)
    assert tuple(theirs.config.id2label.values()) == CLASSES


def test_json_names_each_file_that_was_written(converted, tmp_path, capsys):
    folder = tmp_path / "out"
    assert main(["export", converted, str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.pop("folder") == str(folder)
    assert set(said["files"]) == {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors"}
    assert said.keys() == {"files", "notes"}


def test_what_is_exported_takes_clips_as_the_run_did(converted, videos, tmp_path, capsys):
    """Two clips, every 2nd frame, which no file of transformers records."""
    run = shutil.copytree(converted, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"] |= {"stride": 2}
    config["eval"] |= {"clips": 2, "crops": 1}
    (run / "config.json").write_text(json.dumps(config))
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    shown = []
    for source in ("run", "out"):
        assert main(["predict", videos[0], "--model", str(tmp_path / source)]) == 0
        said = capsys.readouterr()
        assert "2 x 1 views of 8 frames (every 2nd frame of the video)" in said.err
        shown.append(said.out.split("label", 1)[1])
    assert shown[0] == shown[1]


@pytest.mark.parametrize("verb", ["convert", "export"])
def test_a_folder_that_is_not_empty_is_not_written_to(verb, classifier, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert main([verb, classifier, str(tmp_path)]) == 2
    assert "exists and is not an empty folder; name a new one" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("verb", ["convert", "export"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_model_is_read(verb, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("keep")
    for folder in ("notes.txt", "notes.txt/out"):
        assert main([verb, "nobody/nothing", str(tmp_path / folder)]) == 2
        said = capsys.readouterr().err
        assert f"vidjax: {tmp_path / folder} cannot be a folder because {tmp_path / 'notes.txt'} is a file" in said


def test_exports_keep_what_the_model_was_trained_for(plain_autoencoder, several_labels, transformers, tmp_path, capsys):
    """Unnormalised pixels, or several labels per video: only config.json records them, even via a run."""
    assert main(["convert", plain_autoencoder, str(tmp_path / "run")]) == 0
    for number, source in enumerate((plain_autoencoder, tmp_path / "run")):
        out = tmp_path / f"plain{number}"
        assert main(["export", str(source), str(out)]) == 0
        assert transformers.AutoConfig.from_pretrained(out).norm_pix_loss is False
    assert main(["export", several_labels, str(tmp_path / "several")]) == 0
    config = transformers.AutoConfig.from_pretrained(tmp_path / "several")
    assert config.problem_type == "multi_label_classification"
    assert vidjax.from_pretrained(tmp_path / "several").answer.activation == "sigmoid"


def test_convert_notes_that_a_run_does_not_record_several_labels(several_labels, tmp_path, capsys):
    assert main(["convert", several_labels, str(tmp_path / "run"), "--json"]) == 0
    shown = capsys.readouterr()
    assert "--score=sigmoid" in shown.err
    said = json.loads(shown.out)
    assert (said["folder"], said["task"]) == (str(tmp_path / "run"), "classification")
    assert said["model"].startswith("videomae_")
    [note] = said["notes"]
    assert note.endswith("predict with --score=sigmoid")


@pytest.mark.parametrize("verb", ["convert", "export"])
def test_a_file_that_is_no_checkpoint_leaves_nothing_behind(verb, videos, tmp_path, capsys):
    assert main([verb, videos[0], str(tmp_path / "out")]) == 2
    assert "is not a checkpoint; expected .safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
