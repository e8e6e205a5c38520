"""The merging rules against SciPy and NumPy, and a case in which they disagree."""

import jax
import numpy as np
import pytest
from scipy.special import expit, softmax

from vidjax.errors import ConfigError
from vidjax.evaluation.merging import MERGES, merge_views

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


def test_rules_can_call_one_video_differently():
    # Two views lean to class 0, one is surer of class 1, and class 2 is a close second everywhere.
    logits = np.array([[[3.0, 0.0, 2.0]], [[3.0, 0.0, 2.0]], [[0.0, 9.0, 8.0]]], np.float32)
    calls = {rule: int(np.argmax(merge_views(logits, rule))) for rule in ("mean_softmax", "sum_logits", "max")}
    assert calls == {"mean_softmax": 0, "sum_logits": 2, "max": 1}


def test_unknown_rule_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="mean_softmax, sum_logits, max"):
        merge_views(np.zeros((1, 1, 2), np.float32), "average")
