"""The lines printed before the first step: memory, time, and what was chosen."""

import dataclasses

import pytest
import shipped

from vidjax.config import DataConfig
from vidjax.data.open import open_source
from vidjax.training.choices.announce import choice_sentences, duration, few_videos_sentence, pace_sentence
from vidjax.training.choices.length import choose_length
from vidjax.training.choices.memory import Fit
from vidjax.training.choices.pauses import Pauses
from vidjax.training.choices.speed import Pace, device_rate, seconds_per_video

NONE = Pauses(1, 0.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "2 seconds"),
        (80, "80 seconds"),
        (100, "2 minutes"),
        (5000, "83 minutes"),
        (9000, "2 hours"),
        (3e5, "3 days"),
    ],
)
def test_lengths_of_time_are_read_at_a_glance(seconds, words):
    assert duration(seconds) == words


def test_the_slower_of_computing_and_decoding_sets_the_time():
    assert pace_sentence(Pace(compute=0.5, decode=2.0), 60, NONE).startswith("time: about 2 minutes for 60 steps")
    assert pace_sentence(Pace(compute=4.0, decode=2.0), 60, NONE).startswith("time: about 4 minutes for 60 steps")


def test_on_a_cpu_computing_and_decoding_add_up():
    together = Pace(compute=4.0, decode=2.0, shared=True)
    assert pace_sentence(together, 60, NONE).startswith("time: about 6 minutes for 60 steps")


def test_the_time_counts_what_the_steps_wait_for():
    pauses = Pauses(3, 5.0, validations=2, validation=30.0, videos=17, final=105.0, views="3 x 1 views of each video")
    assert pace_sentence(Pace(compute=1.0, decode=0.5), 60, pauses) == (
        "time: about 4 minutes for 60 steps, 2 validations of 17 videos, 3 checkpoints and a final evaluation of 3 x 1 "
        "views of each video, estimated from 1 s to compute a step and 0.5 s to decode its videos, and 30 s for a "
        "validation"
    )


def test_every_choice_is_named_by_its_key_and_what_was_given_is_not():
    asked = shipped.read("finetune", arg="tiny", data__global_batch=8)
    config = choose_length(asked, 60, row_blocks=1)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, accumulate=2))
    fit = Fit(config, step=None, call=None, needed=3 * 10**9, free=20 * 10**9, seconds=1.0)
    chosen, memory = choice_sentences(asked, fit)
    assert "train.accumulate=2" in chosen
    assert f"train.epochs={config.train.epochs}" in chosen
    assert "data.global_batch" not in chosen
    assert memory.startswith("a step takes 3 of the 20 GB free")


def test_pre_training_on_few_videos_prints_a_warning():
    config = shipped.read("pretrain", arg="tiny")
    assert "43 videos are few" in few_videos_sentence(config, 43)
    assert "--config.init_from=" in few_videos_sentence(config, 43)
    assert not few_videos_sentence(config, 169)
    assert not few_videos_sentence(dataclasses.replace(config, init_from="runs/other"), 43)
    assert not few_videos_sentence(shipped.read("finetune", arg="tiny"), 43)


def test_videos_that_cannot_be_decoded_do_not_stop_the_estimate(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "too.mp4").write_bytes(b"no video either")
    data = DataConfig(root=str(tmp_path), num_frames=2, image_size=16)
    assert seconds_per_video(open_source(data, "train", ""), data) == 0.0


def test_a_cpu_is_measured():
    assert 1e8 < device_rate() < 1e13
