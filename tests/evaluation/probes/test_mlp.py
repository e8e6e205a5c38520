"""The MLP on hand-made features: what it must learn, what it must not see, and when it stops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from vidjax.errors import ConfigError
from vidjax.evaluation.probes.mlp import MLP, MLPClassifier, MLPRegressor

SMALL = {"widths": (32, 16), "dropouts": (0.0, 0.0), "batch": 64, "learning_rate": 5e-3, "patience": 0}


def lin(a, b):
    """Lin's concordance correlation coefficient as in the paper."""
    return 2 * np.cov(a, b, bias=True)[0, 1] / (np.var(a) + np.var(b) + (np.mean(a) - np.mean(b)) ** 2)


def test_xor_is_learned_unlike_by_a_linear_probe():
    x = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)
    y = np.where(x.prod(axis=1) > 0, 7, 3)  # labels need not be 0 and 1
    probe = MLPClassifier(**SMALL, epochs=120, seed=1).fit(x[:300], y[:300])
    linear = LogisticRegression().fit(x[:300], y[:300])
    assert (probe.predict(x[300:]) == y[300:]).mean() > 0.93
    assert linear.score(x[300:], y[300:]) < 0.7
    last = probe.curves_[-1]
    assert last["epoch"] == len(probe.curves_) == 120
    assert last["train/accuracy"] > 0.95
    assert {"train/loss", "train/f1_macro", "val/loss", "val/accuracy", "val/f1_macro"} < last.keys()


def test_the_loss_is_one_minus_the_mean_concordance_and_ignores_padding():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 6)).astype(np.float32)
    y = np.tanh(x @ rng.normal(size=(6, 2))).astype(np.float32)
    probe = MLPRegressor(**SMALL, epochs=80, validation=0.0).fit(x, y)
    found = probe.predict(x)
    ccc = [lin(found[:, k], y[:, k]) for k in range(2)]
    assert np.mean(ccc) > 0.97
    assert probe.curves_[-1]["train/loss"] == pytest.approx(1 - np.mean(ccc), abs=1e-5)
    assert probe.curves_[-1]["train/ccc"] == pytest.approx(np.mean(ccc), abs=1e-5)
    assert "val/loss" not in probe.curves_[-1]
    assert np.abs(found).max() <= 1


def test_the_epoch_of_the_lowest_validation_loss_is_kept_and_training_stops_after_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 40)).astype(np.float32)
    y = rng.integers(0, 2, 120)  # nothing to learn but the rows themselves
    probe = MLPClassifier(**SMALL | {"patience": 7}, epochs=200).fit(x, y)
    losses = [line["val/loss"] for line in probe.curves_]
    assert probe.epoch_ == int(np.argmin(losses)) + 1
    assert len(losses) == probe.epoch_ + 7 < 200
    kept = probe.curves_[probe.epoch_ - 1]
    share = (probe.predict(x) == y).mean()  # 24 rows are held out, 96 trained on
    assert share == pytest.approx(0.8 * kept["train/accuracy"] + 0.2 * kept["val/accuracy"], abs=1e-6)


def test_no_subject_is_both_trained_on_and_held_out():
    """Features tell only the subject: what is learned about one does not help with another."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(40), 8)
    x = (3 * rng.normal(size=(40, 30))[subject] + 0.1 * rng.normal(size=(320, 30))).astype(np.float32)
    y = rng.permutation(np.arange(40) % 2)[subject]
    probe = MLPClassifier(**SMALL, epochs=25)
    mixed = clone(probe).fit(x, y).curves_[-1]
    apart = clone(probe).fit(x, y, groups=subject).curves_[-1]
    assert mixed["train/accuracy"] == apart["train/accuracy"] == 1
    assert mixed["val/accuracy"] > 0.95
    assert apart["val/accuracy"] < 0.85


def test_a_weighting_of_tokens_is_learned_with_the_layers():
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(400, 6, 4)).astype(np.float16)
    y = (tokens[:, 2, 0] > 0).astype(int)
    probe = MLPClassifier(**SMALL | {"learning_rate": 0.03}, epochs=60).fit(tokens[:300], y[:300])
    assert (probe.predict(tokens[300:]) == y[300:]).mean() > 0.9
    weights = jax.nn.softmax(probe.params_["TokenWeighting_0"]["weights"])
    assert weights.argmax() == 2
    assert weights[2] > 0.6


def test_dropout_keeps_the_expected_input_of_the_next_layer():
    module, x = MLP((64,), 3), jnp.ones((1, 5))
    params = module.init(jax.random.key(0), x, jnp.zeros(1))["params"]
    still = module.apply({"params": params}, x, jnp.array([0.6]))
    drawn = jax.vmap(
        lambda key: module.apply({"params": params}, x, jnp.array([0.6]), train=True, rngs={"dropout": key})
    )(jax.random.split(jax.random.key(1), 4000))
    np.testing.assert_allclose(drawn.mean(axis=0), still, atol=4 * float(drawn.std()) / 4000**0.5)
    assert drawn.std() > 0.1
    off = module.apply({"params": params}, x, jnp.zeros(1), train=True, rngs={"dropout": jax.random.key(2)})
    np.testing.assert_allclose(off, still, rtol=1e-6)


def test_a_seed_is_reproducible_and_a_search_over_dropouts_and_rates_compiles_once():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(130, 11)).astype(np.float32), rng.integers(0, 3, 130)
    probe = MLPClassifier(**SMALL, epochs=3)
    first = clone(probe).fit(x, y)
    with compilations() as compiled:
        again, other = clone(probe).fit(x, y), clone(probe).set_params(seed=1).fit(x, y)
        clone(probe).set_params(dropouts=(0.3, 0.7), learning_rate=1e-3, weight_decay=0.3).fit(x[:-5], y[:-5])
    assert not compiled
    assert first.curves_ == again.curves_
    assert first.curves_ != other.curves_


@pytest.mark.parametrize(
    ("probe", "y", "groups", "message"),
    [
        (MLPClassifier(dropouts=(0.5,)), [0, 1, 0, 1], None, "1 dropouts for 2 hidden layers"),
        (MLPClassifier(), [0, 1, 0, 1], ["a"] * 4, "all 4 training rows belong to one subject"),
        (MLPClassifier(validation=0.9), [0, 1, 0, 1], None, "validation=0.9 of 4 subjects leaves none to train"),
        (MLPClassifier(learning_rate=1e30, epochs=3), [0, 1, 0, 1], None, "the loss of epoch . is not finite"),
        (MLPRegressor(), [[0.1], [-7.0], [1.0], [0.0]], None, "a target is -7, but tanh lies between -1 and 1"),
    ],
)
def test_impossible_training_is_refused(probe, y, groups, message):
    with pytest.raises(ConfigError, match=message):
        probe.fit(np.eye(4, 2, dtype=np.float32), np.array(y), groups=groups)
