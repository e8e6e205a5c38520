"""Features of every family: the model's outputs for the central clip, and reductions that equal NumPy's."""

import dataclasses

import jax
import numpy as np
import pytest
from small_backbones import CLIPS, backbone
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.open import open_source
from vidjax.data.video.decode import read_frames
from vidjax.errors import ConfigError, WeightsError
from vidjax.evaluation.features.store import FeatureStore
from vidjax.evaluation.features.writer import Split, Storage, digest, embed_videos, write_features
from vidjax.weights.backbones import load_backbone


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three files, the last of which is not a video."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(3):
        path = root / f"val/c{number % 2}/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(20, 32, 40, seed=number)) if number != 1 else b"no video")
    return root


FAMILIES = {
    "videomae": (lambda: backbone("videomae_tiny", 5), 8, False),
    "videomae, pre-trained": (lambda: backbone("videomae_tiny", None), 8, False),
    "timesformer": (lambda: backbone("timesformer_tiny"), 16, True),
    "vivit": (lambda: backbone("vivit_tiny", factorization="encoder"), 8, True),
    "videomamba": (lambda: backbone("videomamba_tiny"), 16, True),
    "vjepa2": (lambda: backbone("vjepa2_tiny", 5), 8, False),
    "vjepa2, pre-trained": (lambda: backbone("vjepa2_tiny", None), 8, False),
    "videoprism": (lambda: backbone("videoprism_tiny"), 16, False),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_arrays_equal_numpys_reductions_of_its_tokens(videos, tmp_path, family):
    make, num_tokens, has_class_token = FAMILIES[family]
    model = make()
    data = DataConfig(root=str(videos), train_split="val", threads=1)
    source, width = open_source(data, "val"), model.spec.width
    wanted = {"tokens", "token_mean", "token_max", "width_mean", "pooled"} | ({"cls"} if has_class_token else set())
    write_features(model, Split(source, data, "val"), Storage(tmp_path, sorted(wanted), "float32"))
    store = FeatureStore.open(tmp_path)
    arrays = {name: store.array(name) for name in wanted}
    assert {name: array.shape[1:] for name, array in arrays.items()} == {
        "tokens": (num_tokens, width), "token_mean": (width,), "token_max": (width,),
        "width_mean": (num_tokens,), "pooled": (width,),
    } | ({"cls": (width,)} if has_class_token else {})  # fmt: skip
    assert store.decoded.tolist() == [True, True, False]
    np.testing.assert_allclose(arrays["token_mean"], arrays["tokens"].mean(1), atol=1e-5)
    np.testing.assert_allclose(arrays["token_max"], arrays["tokens"].max(1), atol=1e-5)
    np.testing.assert_allclose(arrays["width_mean"], arrays["tokens"].mean(2), atol=1e-5)
    for number in range(2):
        frames = read_frames(source[number].video, eval_indices(20, 10.0, model.clip_recipe)[0])
        expected = model(eval_crops(frames, model.clip_recipe))
        for name in {"tokens", "pooled", "cls"} & wanted:
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(arrays[name][number], expected[name][0], atol=2e-5 * scale)
    if not has_class_token:
        with pytest.raises(ConfigError, match=f"has no feature 'cls'; a {model.family} has tokens, "):
            write_features(model, Split(source, data, "val"), Storage(tmp_path / "other", ("cls",)))


def test_features_in_memory_equal_those_of_the_store(videos, tmp_path):
    model = backbone("videomae_tiny", 5)
    data = DataConfig(root=str(videos), train_split="val", threads=1)
    source = open_source(data, "val")
    found = embed_videos(model, source, data)
    write_features(model, Split(source, data, "val"), Storage(tmp_path, ("pooled",), "float32"))
    np.testing.assert_array_equal(found.scores, FeatureStore.open(tmp_path).array("pooled"))
    assert found.reasons == ("", "", "not_video")
    assert (found.scored.tolist(), found.labels.tolist()) == ([True, True, False], [0, 0, 1])
    assert np.abs(found.scores[0] - found.scores[1]).max() > 1e-3


def test_clips_that_do_not_fill_the_last_cube_are_treated_as_in_a_run(videos):
    model = backbone("videomae_tiny", 5)
    data = DataConfig(root=str(videos), train_split="val", threads=1)
    five, nine = (
        dataclasses.replace(model, clip_recipe=dataclasses.replace(model.clip_recipe, stride=1, num_frames=frames))
        for frames in (5, 9)
    )
    assert embed_videos(five, open_source(data, "val"), data).scored.sum() == 2
    with pytest.raises(ConfigError, match="clips of 9x16x16x3"):
        embed_videos(nine, open_source(data, "val"), data)


def test_random_backbones_are_reproducible_and_differ_from_each_other():
    first, again = (load_backbone("random:videomae_tiny", **CLIPS) for _ in range(2))
    assert (first.family, first.num_classes, first.spec.num_frames, first.spec.image_size) == ("videomae", 0, 4, 16)
    assert digest(first) == digest(again)
    changed = dataclasses.replace(first, params=jax.tree.map(lambda leaf: leaf * np.float32(1 + 1e-7), first.params))
    assert digest(first) != digest(changed)
    assert digest(first) != digest(dataclasses.replace(first, spec=first.spec.override(norm_eps=1e-5)))


def test_sources_that_are_not_backbones_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'videomae_tiny'"):
        load_backbone("random:videomae_tiyn")
    with pytest.raises(WeightsError):
        load_backbone(str(tmp_path / "nothing.safetensors"))
