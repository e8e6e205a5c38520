"""Steps whose loss stands out are skipped, and a diverging run goes back to its last sound checkpoint."""

import functools
import json
import signal

import jax
import numpy as np
import pytest
import toy
from toy_runs import StoppingBatches, losses, run, saved_steps

from vidjax.errors import TrainingError
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.goodput import Goodput
from vidjax.training.spikes import judge, no_steps
from vidjax.weights.read_run import read_params


class OlmosRule:
    """OLMo-core's SkipStepOptimizer (optim/skip_step_optimizer.py) in NumPy: lists of past values, sample `std`.

    Its losses are never infinite, so steps that are not finite are not passed to it here.
    """

    def __init__(self, window, deviations):
        self.window, self.deviations, self.seen = window, deviations, []

    def limits(self):
        known = np.array(self.seen[-self.window :], np.float64).reshape(-1, 2)
        if len(known) < max(2, self.window // 2):
            return np.array([np.inf, np.inf])
        return known.mean(0) + self.deviations * known.std(0, ddof=1)

    def sound(self, loss, grad_norm):
        if not np.isfinite([loss, grad_norm]).all():
            return False
        limits = self.limits()
        self.seen.append((loss, grad_norm))
        return loss <= limits[0] and grad_norm <= limits[1]


@pytest.mark.parametrize(("window", "deviations"), [(8, 3.0), (7, 6.0), (2, 1.5), (32, 2.0)])
def test_spikes_follow_olmos_rule(window, deviations):
    rng = np.random.default_rng(window)
    values = rng.normal(10, 1, (150, 2)) * rng.choice([1.0, 1.0, 1.0, 3.0], (150, 2))
    values[75:] += 20  # a lasting new level becomes the mean
    values[rng.integers(0, 150, 6), rng.integers(0, 2, 6)] = np.nan
    values[40, 0] = np.inf
    values = values.astype(np.float32)
    rule, recent = OlmosRule(window, deviations), no_steps(window)
    step = jax.jit(functools.partial(judge, deviations=deviations))
    bad, skipped = 0, 0
    for loss, grad_norm in values:
        limits = rule.limits()
        expected = rule.sound(loss, grad_norm)
        sound, recent, metrics = step(recent, loss, grad_norm)
        np.testing.assert_allclose(
            [metrics["train/loss_limit"], metrics["train/grad_norm_limit"]], limits, rtol=1e-4, atol=1e-4
        )
        assert bool(sound) == expected
        assert bool(metrics["train/skipped"]) == (not expected and bool(np.isfinite([loss, grad_norm]).all()))
        bad = 0 if expected else bad + 1
        skipped += bool(metrics["train/skipped"])
        assert int(recent.bad) == bad
    assert skipped > 3


SKIP = {"optim__skip_spikes": 6.0, "optim__spike_window": 8, "train__steps": 16, "train__checkpoint_every": 4}
BACK = {"train__roll_back_after": 3, "train__steps": 16, "train__checkpoint_every": 4, "train__keep_latest": 4}


def same_params(one, other):
    jax.tree.map(np.testing.assert_array_equal, read_params(one)[1], read_params(other)[1])


def metric(workdir, name):
    rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row[name] for row in rows if name in row}


@pytest.fixture(scope="module")
def skipping(tmp_path_factory):
    """A whole run with two spikes."""
    workdir = tmp_path_factory.mktemp("skipping")
    run(workdir, toy.Spiky(), **SKIP)
    return workdir


def test_a_spike_changes_no_parameters_and_is_reported_and_counted(skipping, tmp_path, capsys):
    run(tmp_path / "skipping", toy.Spiky(), **SKIP)
    said = capsys.readouterr().err
    assert said.count("step 10 is skipped: its loss of") == said.count("is skipped") - 1 == 1
    assert {step: count for step, count in metric(skipping, "train/skipped").items() if count} == {10: 1, 14: 1}
    assert set(list(metric(skipping, "train/loss_limit").items())[:4]) == {(1, None), (2, None), (3, None), (4, None)}
    not_finite = toy.ToyObjective(poison=toy.Spiky.spikes)  # changes nothing
    run(tmp_path / "poisoned", not_finite, train__steps=16)
    same_params(skipping, tmp_path / "poisoned")
    run(tmp_path / "harmed", toy.Spiky(), **SKIP | {"optim__skip_spikes": 0.0})
    assert losses(tmp_path / "harmed")[11] != losses(skipping)[11]


def test_the_memory_of_steps_is_restored_with_a_checkpoint(skipping, tmp_path):
    with pytest.raises(SystemExit):
        run(tmp_path, toy.Spiky(), batches=type("Late", (StoppingBatches,), {"stop_at": 9}), **SKIP)
    assert max(losses(tmp_path)) < 10  # otherwise both spikes lie before it
    run(tmp_path, toy.Spiky(), **SKIP)
    assert losses(tmp_path) == losses(skipping)
    for name in ("train/skipped", "train/loss_limit", "train/grad_norm_limit"):
        assert metric(tmp_path, name) == metric(skipping, name)
    same_params(tmp_path, skipping)


@pytest.mark.parametrize(
    "first", [{"optim__skip_spikes": 0.0}, pytest.param({"optim__spike_window": 5}, marks=pytest.mark.slow)]
)
def test_it_may_be_switched_on_or_changed_when_a_run_resumes(tmp_path, first, capsys):
    run(tmp_path, toy.Spiky(), **SKIP | first | {"train__steps": 4})
    run(tmp_path, toy.Spiky(), **SKIP)
    assert metric(tmp_path, "train/loss_limit")[8] is None  # steps 5 to 7 are less than half of the window
    assert metric(tmp_path, "train/loss_limit")[9] is not None
    assert metric(tmp_path, "train/skipped")[10] == 1
    assert "note: optim." in capsys.readouterr().err
    run(tmp_path, toy.Spiky(), **SKIP | {"optim__skip_spikes": 0.0, "train__steps": 17})  # and off again
    assert 17 not in metric(tmp_path, "train/skipped")


def test_a_run_without_the_option_remembers_nothing(tmp_path):
    run(tmp_path)
    assert not (tmp_path / "checkpoints" / "8" / "recent").exists()
    assert not metric(tmp_path, "train/roll_backs")


def test_going_back_is_as_if_all_steps_since_that_checkpoint_had_been_skipped(tmp_path, capsys):
    """Steps 9 to 11 are not finite, which is known at step 12; checkpoint 8 is skipped because step 9 followed it."""
    run(tmp_path / "back", toy.ToyObjective(poison=(8, 9, 10)), **BACK)
    said = (
        "steps 9 to 11 were not finite or were spikes: continuing from the parameters of step 4; what was learned in "
    )
    assert said + "steps 5 to 12 is dropped (roll-back 1 of at most 3)" in capsys.readouterr().err
    assert saved_steps(tmp_path / "back") == [4, 12, 16]
    assert metric(tmp_path / "back", "train/roll_backs")[16] == 1
    run(tmp_path / "poisoned", toy.ToyObjective(poison=tuple(range(4, 12))), train__steps=16)
    late = {step: loss for step, loss in losses(tmp_path / "poisoned").items() if step > 12}
    assert late == {step: loss for step, loss in losses(tmp_path / "back").items() if step > 12}
    same_params(tmp_path / "back", tmp_path / "poisoned")


def test_steps_after_the_restored_checkpoint_are_lost_even_if_a_later_checkpoint_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoints, "delete_after", lambda self, step: None)  # as if checkpoint 8 had the best score
    restored = []
    monkeypatch.setattr(Goodput, "went_back", lambda self, step: restored.append(step))
    run(tmp_path, toy.ToyObjective(poison=(8, 9, 10)), **BACK)
    assert restored == [4]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [9, 10, 12, 13])
def test_a_run_stopped_around_a_roll_back_ends_as_if_it_were_not(tmp_path, stop_at):
    astray = toy.ToyObjective(poison=(8, 9, 10))
    run(tmp_path / "whole", astray, **BACK)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / "parts", astray, batches=type("Stopping", (StoppingBatches,), {"stop_at": stop_at}), **BACK)
    assert stopped.value.code == 128 + signal.SIGTERM
    run(tmp_path / "parts", astray, **BACK)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    same_params(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.slow
def test_spikes_in_a_row_are_a_reason_to_go_back_and_counted_over_a_restart(tmp_path):
    spiky, both = toy.Spiky(spikes=(9, 10, 11)), SKIP | BACK
    run(tmp_path / "whole", spiky, **both)
    assert metric(tmp_path / "whole", "train/roll_backs")[16] == 1
    with pytest.raises(SystemExit):  # its checkpoint follows a skipped step
        run(tmp_path / "parts", spiky, batches=type("Stopping", (StoppingBatches,), {"stop_at": 11}), **both)
    assert metric(tmp_path / "parts", "train/skipped")[max(losses(tmp_path / "parts"))] == 1
    run(tmp_path / "parts", spiky, **both)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    same_params(tmp_path / "parts", tmp_path / "whole")


def test_a_run_goes_back_only_so_often_and_only_to_a_checkpoint(tmp_path):
    astray = toy.ToyObjective(poison=(6, 7, 8, 12, 13, 14))
    with pytest.raises(TrainingError, match=r"steps 13 to 15 .*gone back 1 times before \(train.max_roll_backs=1\)"):
        run(tmp_path / "often", astray, **BACK, train__max_roll_backs=1)
    with pytest.raises(TrainingError, match=r"steps 3 to 5 .*no checkpoint followed by a sound step"):
        run(tmp_path / "none", toy.ToyObjective(poison=(2, 3, 4)), **BACK)
