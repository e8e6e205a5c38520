"""The length of a run where it is left open: enough steps for a few videos, the published epochs for many."""

import pytest
import shipped

from vidjax.config import get_key, left_open
from vidjax.training.choices.length import choose_length
from vidjax.training.plan import run_length


@pytest.mark.parametrize("experiment", ["pretrain", "finetune"])
@pytest.mark.parametrize("size", ["tiny", "base"])
@pytest.mark.parametrize("videos", [2, 18, 60, 5000, 240_000])
def test_any_number_of_videos_gives_a_run_with_steps_warm_up_and_validations(experiment, size, videos):
    config = choose_length(shipped.read(experiment, arg=size), videos, row_blocks=1)
    assert not {"data.global_batch", "train.epochs", "train.eval_every", "train.checkpoint_every"} & {
        *left_open(config)
    }
    length, batch = run_length(config, videos), config.data.global_batch
    assert length.total >= 600
    assert 0 < length.warmup <= length.total / 10
    assert batch & (batch - 1) == 0
    assert 8 <= batch <= max(16, videos)
    validations = config.train.eval_every and length.total / config.train.eval_every
    assert (validations == 0) == (experiment == "pretrain")
    assert validations <= 50
    assert length.total / config.train.checkpoint_every <= 50


def test_few_videos_are_validated_and_many_batches_rounded_to_the_devices():
    config = choose_length(shipped.read("finetune", arg="base"), 60, row_blocks=6)
    assert config.data.global_batch % 6 == 0


def test_lines_go_through_the_published_points():
    """VideoMAE's epochs on Kinetics-400 (1600, 75) and UCF101 (3200, 100), and its batches for UCF101 (192, 128)."""
    points = {("pretrain", 240_000): 1600, ("pretrain", 9537): 3200, ("finetune", 240_000): 75, ("finetune", 9537): 100}
    for (experiment, videos), epochs in points.items():
        config = choose_length(shipped.read(experiment, arg="base"), videos, row_blocks=1)
        assert config.train.epochs == pytest.approx(epochs, rel=0.06)
        if videos == 9537:
            assert config.data.global_batch == 128


def test_what_the_user_sets_stays():
    settings = {"data__global_batch": 24, "train__steps": 100, "train__eval_every": 7, "optim__warmup_epochs": 0.5}
    asked = shipped.read("finetune", arg="tiny", **settings)
    config = choose_length(asked, 60, row_blocks=1)
    for name in settings:
        key = name.replace("__", ".")
        assert get_key(config, key) == get_key(asked, key)
    assert run_length(config, 60).total == 100
