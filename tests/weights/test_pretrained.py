"""`from_pretrained`: calls on any clips, the normalisation of the source, and vidjax runs as a source."""

import json
import shutil

import cv2
import jax
import numpy as np
import peers
import pytest

import vidjax
from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.errors import WeightsError
from vidjax.objectives.normalize import normalize
from vidjax.weights.read_run import read_params


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    peers.classifier().save_pretrained(path)
    return path


def uint8_clips(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_clips_of_any_size_are_resized_cropped_and_normalised_as_in_evaluation(folder):
    model = vidjax.from_pretrained(folder)
    apply = jax.jit(model.module.apply)
    for size in ((16, 16), (24, 40), (50, 30), (10, 13)):
        clips = uint8_clips(2, 4, *size)
        crops = np.stack([eval_crops(clip, ClipRecipe(image_size=16))[0] for clip in clips])
        pixels = normalize(crops, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        wanted = apply({"params": model.params}, pixels)["logits"]
        peers.assert_close(model(clips)["logits"], wanted, 1e-5)


def test_frames_that_are_not_square_are_covered_and_cropped_in_the_middle(tmp_path):
    peers.classifier(image_size=(16, 32)).save_pretrained(tmp_path)
    model = vidjax.from_pretrained(tmp_path)
    clip = np.zeros((1, 4, 32, 96, 3), np.uint8)
    clip[:, :, :, 16:80] = 200  # the kept part, at twice its final size
    small = cv2.resize(clip[0, 0], (48, 16), interpolation=cv2.INTER_LINEAR)[:, 8:40]
    np.testing.assert_allclose(model(clip)["logits"], model(np.tile(small, (1, 4, 1, 1, 1)))["logits"], atol=1e-6)


def test_a_pretraining_model_gives_tokens_of_whole_clips(tmp_path):
    peer = peers.pretraining()
    peer.save_pretrained(tmp_path)
    model = vidjax.from_pretrained(tmp_path)
    clips = uint8_clips(2, 4, 16, 16)
    out = model(clips)
    pixels = peers.torch.from_numpy(np.array(normalize(clips, model.mean, model.std))).permute(0, 1, 4, 2, 3)
    with peers.torch.no_grad():
        theirs = peer.videomae(pixels).last_hidden_state
    peers.assert_close(out["tokens"], theirs)
    peers.assert_close(out["pooled"], theirs.mean(1))


@pytest.mark.parametrize(
    ("said", "mean", "std"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}, 0.5, 0.25),
        ({"image_mean": [0.1] * 3, "image_std": [0.2] * 3, "do_rescale": False}, 0.1 / 255, 0.2 / 255),
        ({"image_mean": [0.1] * 3, "image_std": [0.2] * 3, "do_normalize": False}, 0.0, 1.0),
        (
            {
                "image_mean": [0.5] * 3,
                "image_std": [0.5] * 3,
                "do_normalize": False,
                "offset": True,
                "rescale_factor": 1 / 127.5,
            },
            0.5,
            0.5,
        ),
    ],
)
def test_pixels_are_normalised_like_the_sources_preprocessor(tmp_path, said, mean, std):
    peers.classifier().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    model = vidjax.from_pretrained(tmp_path)
    np.testing.assert_allclose(model.mean, mean, atol=1e-6)
    np.testing.assert_allclose(model.std, std, atol=1e-6)


def test_a_preprocessor_that_normalises_twice_is_not_followed(tmp_path):
    """ViViT's preprocessor on the hub has both an offset and a normalisation."""
    peers.classifier().save_pretrained(tmp_path)
    said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "offset": True, "rescale_factor": 1 / 127.5}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    model = vidjax.from_pretrained(tmp_path)
    assert model.mean == (0.485, 0.456, 0.406)
    assert "would normalise twice" in model.notes[-1]


def test_a_run_provides_its_moving_average_normalisation_and_merging(classifier_run):
    model = vidjax.from_pretrained(classifier_run)
    _, average = read_params(classifier_run, "best", ema=True)
    jax.tree.map(np.testing.assert_array_equal, model.params, average)
    _, raw = read_params(classifier_run)
    assert not np.array_equal(raw["head"]["kernel"], average["head"]["kernel"])
    assert (model.num_classes, model.mean, model.clip_recipe.merge) == (3, (0.4, 0.5, 0.6), "sum_logits")
    assert model.spec.dtype == "float32"
    assert model.config.data.name == "synthetic"
    assert model(uint8_clips(1, 4, 20, 20))["logits"].shape == (1, 3)


def test_the_best_checkpoint_of_a_run_is_preferred_to_the_latest(classifier_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(classifier_run, run)
    last = run / "checkpoints" / "2"
    shutil.copytree(last, run / "checkpoints" / "1")
    for best in (1, 2):
        (run / "checkpoints" / "scores.json").write_text(json.dumps({"1": 0.5, "2": best - 1.2}))
        assert vidjax.from_pretrained(run).notes[0].startswith(f"checkpoint {best} of")


def test_class_names_of_a_run_are_kept(classifier_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(classifier_run, run)
    (run / "labels.json").write_text(json.dumps(["up", "down", "still"]))
    assert vidjax.from_pretrained(run).labels == ("up", "down", "still")
    (run / "labels.json").write_text('["up", "do')  # what a full disk leaves
    model = vidjax.from_pretrained(run)
    assert model.labels is None
    assert "classes have no names, only numbers: " in model.notes[1]
    assert "labels.json is damaged" in model.notes[1]


def test_spec_fields_of_a_run_override_its_preset(classifier_run, tmp_path):
    """Converted weights may have numerics that no preset has."""
    run = tmp_path / "run"
    shutil.copytree(classifier_run, run)
    config = json.loads((run / "config.json").read_text())
    config["model"]["spec"] |= {"fc_norm_eps": 0.125, "norm_eps": 1}
    (run / "config.json").write_text(json.dumps(config))
    found = vidjax.from_pretrained(run).spec
    assert (found.fc_norm_eps, found.norm_eps) == (0.125, 1.0)


def test_a_run_that_cannot_be_read_is_refused_in_one_sentence(classifier_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(classifier_run, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"colour": "red"}))
    with pytest.raises(WeightsError, match=r"config\.json cannot be read by this version .*config\.colour is unknown"):
        vidjax.from_pretrained(run)
    (run / "config.json").write_text(json.dumps(config))
    array = max((run / "checkpoints" / "2").rglob("*"), key=lambda path: path.stat().st_size)
    array.write_bytes(bytes(len(array.read_bytes())))
    with pytest.raises(WeightsError, match="is damaged"):
        vidjax.from_pretrained(run)
    (run / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"has checkpoints but no config\.json"):
        vidjax.from_pretrained(run)
    shutil.rmtree(run / "checkpoints" / "2")
    with pytest.raises(WeightsError, match="holds no checkpoint"):
        vidjax.from_pretrained(run)
