"""The estimate of a run's time includes its pauses."""

import dataclasses
import time
import types

import numpy as np
import pytest

from vidjax.config import Config, TrainConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.training.choices import pauses
from vidjax.training.choices.pauses import Pauses, estimate_pauses

STATE = {"kernel": np.zeros((500, 1000), np.float32)}  # 2 MB


def evaluator(seconds=0.0, clips=3, videos=20):
    """An evaluator whose views take `seconds` each to decode, on one thread."""

    class Videos:
        def __len__(self):
            return videos

        def __getitem__(self, index):
            assert 0 <= index < videos
            time.sleep(seconds)
            return types.SimpleNamespace(video=None, label=0)

    config = Config()
    data = dataclasses.replace(config.data, workers=0, threads=1)
    recipe = ClipRecipe(num_frames=2, image_size=8, clips=clips, crops=1)
    return types.SimpleNamespace(config=dataclasses.replace(config, data=data), recipe=recipe, source=Videos())


def counted(first, total, **keys):
    steps = range(first + 1, total + 1)
    return estimate_pauses(TrainConfig(**keys), steps, STATE, evaluator(), 0.0)


def by_hand(first, total, eval_every, checkpoint_every):
    """The steps after which the loop validates, and those after which it saves."""
    steps = range(first + 1, total + 1)
    scored = [step for step in steps if eval_every and (step % eval_every == 0 or step == total)]
    saved = [
        step for step in steps if step == total or step in scored or (checkpoint_every and not step % checkpoint_every)
    ]
    return len(scored), len(saved)


@pytest.mark.parametrize("first", [0, 82, 99])
@pytest.mark.parametrize(("eval_every", "checkpoint_every"), [(41, 41), (0, 30), (25, 10), (300, 7)])
def test_validations_and_checkpoints_are_those_of_the_loop(first, eval_every, checkpoint_every):
    found = counted(first, 100, eval_every=eval_every, checkpoint_every=checkpoint_every)
    assert (found.validations, found.checkpoints) == by_hand(first, 100, eval_every, checkpoint_every)


def test_pre_training_waits_for_checkpoints_only():
    found = estimate_pauses(TrainConfig(checkpoint_every=10), range(1, 101), STATE, None, 1e9)
    assert found.words == ["10 checkpoints"]
    assert found.seconds == pytest.approx(10 * found.checkpoint)


def test_a_validation_takes_as_long_as_its_videos_take_to_decode_and_to_compute(monkeypatch):
    monkeypatch.setattr(pauses, "device_rate", lambda: 1e9 / 8)  # of each of the eight devices
    found = estimate_pauses(TrainConfig(eval_every=50), range(1, 101), STATE, evaluator(0.02), 3e6)
    assert found.validation == pytest.approx(20 * (0.02 + 0.001), rel=0.5)  # a third of the FLOPs of a step
    assert found.final == pytest.approx(20 * (0.02 + 0.003), rel=0.5)
    final = "a final evaluation of 3 x 1 views of each video"
    assert found.words == ["2 validations of 20 videos", "2 checkpoints", final]
    assert found.seconds == pytest.approx(2 * found.validation + 2 * found.checkpoint + found.final)


def test_one_of_each_is_singular():
    found = Pauses(1, 0.1, validations=1, videos=1, views="one view")
    assert found.words == ["1 validation of 1 video", "1 checkpoint", "a final evaluation of one view"]
