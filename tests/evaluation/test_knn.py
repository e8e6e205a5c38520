"""Nearest neighbours against scikit-learn's, by hand, and on the features of real videos."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.config import MeshConfig
from vidjax.data import open_source
from vidjax.data.augment import eval_crops
from vidjax.data.decode import read_frames
from vidjax.data.sampling import eval_indices
from vidjax.errors import ConfigError
from vidjax.evaluation.knn import embed_videos, knn_accuracy, knn_classify
from vidjax.models import build_model
from vidjax.training.mesh import make_mesh

sys.path.append(str(Path(__file__).parents[1] / "data"))
from videos import encode, moving_texture


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.5)])
def test_labels_are_those_of_scikit_learn(k, temperature):
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(7, 12))
    labels, wanted = rng.integers(0, 7, 300), rng.integers(0, 7, 90)
    train = (centres[labels] + rng.normal(size=(300, 12))).astype(np.float32) * rng.uniform(1, 9, (300, 1))
    test = (centres[wanted] + rng.normal(size=(90, 12))).astype(np.float32)
    oracle = KNeighborsClassifier(k, metric="cosine", weights=lambda d: np.exp((1 - d) / temperature))
    expected = oracle.fit(train, labels).predict(test)
    found = knn_classify(jnp.float32(train), jnp.asarray(labels), test, classes=7, k=k, temperature=temperature)
    np.testing.assert_array_equal(found, expected)
    accuracy = knn_accuracy(jnp.float32(train), labels, test, wanted, k=k, temperature=temperature)
    assert accuracy == pytest.approx((expected == wanted).mean())
    assert 0.3 < accuracy < 1  # neither trivial nor chance


def test_one_near_neighbour_outweighs_two_far_ones_only_at_a_low_temperature():
    train = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.2]], np.float32)
    labels, query = np.array([1, 0, 0]), np.array([[5.0, 0.2]], np.float32)
    assert knn_classify(train, labels, query, classes=2, k=3, temperature=0.07)[0] == 1
    assert knn_classify(train, labels, query, classes=2, k=3, temperature=10.0)[0] == 0


def test_more_neighbours_than_videos_are_refused():
    with pytest.raises(ConfigError, match="k=5 neighbours of 3 labelled videos; choose 1 to 3"):
        knn_accuracy(np.eye(3), np.arange(3), np.eye(3), np.arange(3))


def test_features_are_those_of_each_videos_central_view_and_a_bad_video_has_none(tmp_path):
    for number in range(5):
        path = tmp_path / f"val/c{number % 2}/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(20, 32, 40, seed=number)))
    (tmp_path / "val/c1/3.mp4").write_bytes(b"no video")
    config = config_lib.defaults()
    config.update_from_flattened_dict(
        {"data.root": str(tmp_path), "data.train_split": "val", "data.num_frames": 2, "data.image_size": 16,
         "eval.batch": 2}
    )  # fmt: skip
    config = config_lib.from_dict(config.to_dict())
    module = build_model("timesformer_tiny", num_classes=0, num_frames=2, image_size=16)
    params = module.init(jax.random.key(0), jnp.zeros((1, *module.spec.clip_shape)))["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(1), leaf.shape), params)
    source = open_source(config.data, "val")
    mesh = make_mesh(MeshConfig(), jax.devices()[:2])
    found = embed_videos(module, params, source, config, mesh)
    for number in range(len(source)):
        if source[number].id.endswith("c1/3.mp4"):
            assert not found.scored[number]
            assert not found.scores[number].any()
            continue
        frames = read_frames(source[number].video, eval_indices(20, config.data, 1)[0])
        clip = (eval_crops(frames, config.data, 1) / 255 - config.data.mean) / config.data.std
        expected = module.apply({"params": params}, clip.astype(np.float32))["cls"][0]
        np.testing.assert_allclose(found.scores[number], expected, atol=2e-5)
        assert found.labels[number] == source[number].label
