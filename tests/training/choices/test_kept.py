"""Choices are made once: a run that resumes, or is evaluated, keeps its first ones."""

import saved_runs
import shipped
from random_runs import write_run

from vidjax.config import get_key, left_open
from vidjax.training.choices.kept import keep_choices
from vidjax.training.choices.length import choose_length


def test_what_a_run_chose_holds_when_it_resumes_with_more_videos(tmp_path):
    begun = saved_runs.make_config(
        data__global_batch=24, train__epochs=7.0, train__accumulate=3, model__remat="dots", model__unroll=2,
    )  # fmt: skip
    write_run(tmp_path / "run", begun, 3)
    config = keep_choices(shipped.read("finetune", arg="tiny", model__unroll=0), tmp_path / "run")
    assert left_open(config) == ()
    for key in ("data.global_batch", "train.epochs", "train.accumulate", "model.remat", "model.unroll", "model.dtype"):
        assert get_key(config, key) == get_key(begun, key)
    assert choose_length(config, 5000, row_blocks=1) == config


def test_what_the_user_sets_now_overrides_it(tmp_path):
    write_run(tmp_path / "run", saved_runs.make_config(train__accumulate=3), 3)
    config = keep_choices(shipped.read("finetune", arg="tiny", train__accumulate=2), tmp_path / "run")
    assert config.train.accumulate == 2


def test_a_folder_without_a_run_leaves_all_open(tmp_path):
    config = shipped.read("pretrain", arg="tiny")
    assert keep_choices(config, tmp_path) == config
