"""Actions: the loss of nouns and verbs by hand, and refused data."""

import jax
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.errors import ConfigError
from vidjax.models.outputs import outputs
from vidjax.tasks import build_objective

NOUNS, VERBS, ROWS, SMOOTHING = 5, 3, 6, 0.2
RNGS = {name: jax.random.key(number) for number, name in enumerate(("mask", "dropout", "augment"))}


def objective_of(source=None, **changes):
    keys = {"task": "action", "model.name": "timesformer_tiny", "model.dtype": "float32", "model.spec.init_std": 0.3}
    keys |= {"data.num_frames": 2, "data.image_size": 16, "data.action_classes": (NOUNS, VERBS)}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return build_objective(config_lib.from_dict(config.to_dict()), 0, source=source)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda: objective_of().init(jax.random.key(0), {})[0])()


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "video": rng.integers(0, 256, (ROWS, 2, 16, 16, 3), dtype=np.uint8),
        "action": np.stack([rng.integers(0, NOUNS, ROWS), rng.integers(0, VERBS, ROWS)], axis=1).astype(np.int32),
        "valid": np.arange(ROWS) < 5,
    }


def log_softmax(logits):
    logits = np.float64(logits)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("train", [False, True])
def test_the_loss_is_the_mean_of_two_cross_entropies_each_smoothed_over_its_own_classes(params, batch, train):
    """scenic, vivit/model.py:889-899."""
    objective = objective_of(optim__label_smoothing=SMOOTHING)
    loss, (metrics, _) = jax.jit(lambda batch: objective.loss(params, {}, batch, RNGS, train))(batch)
    logits = outputs(objective.module, params, objective.normalized(batch["video"]))["logits"]
    assert logits.shape == (ROWS, NOUNS + VERBS)
    valid, losses, right = batch["valid"], [], []
    for head, (own, size) in enumerate(((logits[:, :NOUNS], NOUNS), (logits[:, NOUNS:], VERBS))):
        label, smoothing = batch["action"][:, head], SMOOTHING if train else 0.0
        targets = np.eye(size)[label] * (1 - smoothing) + smoothing / size
        losses.append(-(targets * log_softmax(own)).sum(axis=1)[valid].mean())
        right.append((np.argmax(own, axis=1) == label)[valid])
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    assert metrics["noun_top1"] == pytest.approx(right[0].mean())
    assert metrics["verb_top1"] == pytest.approx(right[1].mean())
    assert metrics["action_top1"] == pytest.approx((right[0] & right[1]).mean())


def test_mixup_mixes_nouns_and_verbs_by_the_same_share(params, batch):
    """A clip mixed half with its mirror image has half of both labels: the loss is linear in them."""
    batch = batch | {"valid": np.ones(ROWS, bool), "video": np.repeat(batch["video"][:1], ROWS, axis=0)}
    mixed = objective_of(data__mixup=0.8)
    loss = jax.jit(lambda batch: mixed.loss(params, {}, batch, RNGS, True)[0])(batch)
    plain = jax.jit(lambda batch: objective_of().loss(params, {}, batch, RNGS, True)[0])(batch)
    assert float(loss) == pytest.approx(float(plain), rel=1e-5)  # all clips are equal, so labels only change places


class Rows:
    def __init__(self, *actions):
        self.rows = [type("Row", (), {"action": action}) for action in actions]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_nouns_and_verbs_without_an_output_are_refused():
    objective_of(Rows((4, 2), (0, 0)))
    with pytest.raises(ConfigError, match=r"action_classes=\(5, 3\), but the data has at least 3 nouns and 5 verbs"):
        objective_of(Rows((2, 4), (0, 0)))  # the other way round
