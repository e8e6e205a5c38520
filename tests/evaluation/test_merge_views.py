"""Rules that merge views, against SciPy and NumPy, and a case in which the rules disagree."""

import jax
import numpy as np
import pytest
from scipy.special import expit, softmax

from vidjax.errors import ConfigError
from vidjax.evaluation.merge_views import MERGES, merge_views, merge_windows, probabilities

ORACLES = {
    "mean_softmax": lambda logits: softmax(logits, axis=-1).mean(0),
    "sum_logits": lambda logits: logits.sum(0),
    "max": lambda logits: softmax(logits, axis=-1).max(0),
    "mean": lambda outputs: outputs.mean(0),
    "mean_sigmoid": lambda logits: expit(logits).mean(0),
    "max_sigmoid": lambda logits: expit(logits).max(0),
}


@pytest.mark.parametrize("rule", MERGES)
def test_rule_equals_its_definition(rule):
    logits = np.random.default_rng(0).normal(scale=3, size=(6, 4, 5)).astype(np.float32)
    merged = jax.jit(merge_views, static_argnums=1)(logits, rule)
    np.testing.assert_allclose(merged, ORACLES[rule](logits.astype(np.float64)), rtol=1e-5, atol=1e-6)


def test_rules_can_classify_a_video_differently():
    # Two views lean towards class 0, one is surer of class 1, and class 2 is a close second in all of them.
    logits = np.array([[[3.0, 0.0, 2.0]], [[3.0, 0.0, 2.0]], [[0.0, 9.0, 8.0]]], np.float32)
    calls = {rule: int(np.argmax(merge_views(logits, rule))) for rule in ("mean_softmax", "sum_logits", "max")}
    assert calls == {"mean_softmax": 0, "sum_logits": 2, "max": 1}


def test_unknown_rule_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="mean_softmax, sum_logits, max"):
        merge_views(np.zeros((1, 1, 2), np.float32), "average")


@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_windows_merged_on_the_host_equal_views_merged_on_the_device(reduction):
    logits = np.random.default_rng(1).normal(scale=3, size=(9, 1, 5)).astype(np.float32)
    on_device = jax.jit(merge_views, static_argnums=1)(logits, f"{reduction}_sigmoid")[0]
    windows = np.asarray(jax.nn.sigmoid(logits[:, 0]))
    merged = merge_windows(windows, reduction)
    assert merged.dtype == np.float32
    np.testing.assert_allclose(merged, on_device, rtol=3e-7)


def test_sums_of_logits_are_shown_as_probabilities_of_their_mean_in_the_same_order():
    logits = np.random.default_rng(2).normal(scale=5, size=(6, 1, 8)).astype(np.float32)
    scores = np.asarray(merge_views(logits, "sum_logits"))[0]
    for activation, oracle in (("softmax", softmax), ("sigmoid", expit)):
        shown = probabilities(scores, "sum_logits", activation, 6)
        np.testing.assert_allclose(shown, oracle(logits.astype(np.float64).mean((0, 1))), rtol=1e-5)
        np.testing.assert_array_equal(np.argsort(shown), np.argsort(scores))
    averaged = np.asarray(merge_views(logits, "mean_softmax"))[0]
    np.testing.assert_array_equal(probabilities(averaged, "mean_softmax", "softmax", 6), averaged)
