"""Experiments that follow a publication sample frames and resize them as its authors' code does, line by line."""

import pytest
from shipped import read

from vidjax.models.zoo import ZOO

# Experiment, size: sampling, interpolation of crops, and of RandAugment if it is used. Sources beside each line.
TRAINING = {
    ("videomae_k400", "base"): ("dense", "bilinear_antialias"),  # kinetics.py:515-549, transforms.py:99
    ("videomae_ssv2", "base"): ("dense", "bilinear_antialias"),
    ("videomae_ucf101", "base"): ("dense", "bilinear_antialias"),
    ("videomae_v2_k400", "giant"): ("dense", "bilinear_antialias"),
    ("finetune_k400", "base"): ("dense_span", "bilinear", "bicubic"),  # kinetics.py:251-265, video_transforms.py:568
    ("finetune_ucf101", "base"): ("dense_span", "bilinear", "bicubic"),
    ("finetune_ssv2", "base"): ("segment_integer", "bilinear", "bicubic"),  # ssv2.py:251
    ("videomamba_k400", "small"): ("segment_rounded", "bilinear", "bicubic"),  # kinetics_sparse.py:237-258
    ("videomamba_ssv2", "small"): ("segment_integer", "bilinear", "bicubic"),  # ssv2.py:587
    ("svt_k400", "base"): ("seconds", "bicubic"),  # datasets/decoder.py:260
    ("svt_linear", "ucf101"): ("seconds", "bilinear"),
    ("svt_finetune", "k400"): ("seconds", "bilinear"),
    ("timesformer_k400", "base"): ("seconds", "bilinear"),  # decoder.py:260 and 384, datasets/utils.py:110
    ("vivit_k400", "base"): ("dense_loop", "bilinear"),  # dmvr/processors.py:138 and 374
    ("vivit_ssv2", "large_fe"): ("dense_loop", "bilinear"),
    ("vivit_epic_kitchens", "large_fe"): ("dense_loop", "bilinear"),
}
# Experiment: family and data of the results in the zoo, whose weights are tested on frames sampled the same way.
PUBLISHED = {
    "finetune_k400": ("videomae", "Kinetics-400"),
    "finetune_ucf101": ("videomae", "UCF101"),
    "finetune_ssv2": ("videomae", "Something-Something v2"),
    "videomamba_k400": ("videomamba", "Kinetics-400"),
    "videomamba_ssv2": ("videomamba", "Something-Something v2"),
    "timesformer_k400": ("timesformer", "Kinetics-400"),
    "vivit_k400": ("vivit", "Kinetics-400"),
}


@pytest.mark.parametrize(("experiment", "size"), TRAINING)
def test_training_takes_frames_and_resizes_as_the_authors_do(experiment, size):
    data = read(experiment, size).data
    sampling, interpolation, *of_operations = TRAINING[experiment, size]
    assert (data.sampling, data.interpolation, data.channels) == (sampling, interpolation, "rgb")
    if of_operations:
        assert data.rand_augment.startswith("rand-")
        assert data.rand_augment_interpolation == of_operations[0]


def test_users_own_videos_are_pretrained_and_fine_tuned_on_crops_resized_likewise():
    assert read("finetune", "base").data.interpolation == "bilinear"
    assert read("pretrain", "base").data.interpolation == "bilinear_antialias"


def test_vivit_trains_on_ssv2_with_scenics_rand_augment():
    """configs/something_something_v2/vivit_large_factorised_encoder.py: 2 layers of magnitude 20."""
    assert read("vivit_ssv2", "large_fe").data.rand_augment == "scenic-m20-n2"


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_public_weights_are_tested_on_frames_taken_as_in_their_experiment(experiment):
    family, name = PUBLISHED[experiment]
    size = next(size for found, size in TRAINING if found == experiment)
    config = read(experiment, size)
    results = [result for facts in ZOO[family].values() for result in facts.results if result.data == name]
    official = [result for result in results if "mmaction2" not in result.source]  # it trained its own ablations
    assert {result.sampling for result in official} == {config.data.sampling}
    assert {result.interpolation for result in official} == {config.data.interpolation}
    assert {result.checkpoint for result in official} == {config.eval.checkpoint}


def test_coin_defaults_to_the_setting_that_did_better():
    """The source reports P = R = F1 0.522 without mixup and 0.411 with it."""
    assert read("coin", "domains").data.mixup == 0
