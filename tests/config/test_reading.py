"""What a user relies on: a typo never runs silently, and every shipped experiment resolves."""

import importlib.util
import pathlib

import pytest

from vidjax import config as config_lib
from vidjax.errors import ConfigError

EXPERIMENTS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))


def load(path: pathlib.Path, arg: str | None):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return config_lib.from_dict(module.get_config(arg).to_dict())


def test_defaults_round_trip():
    assert config_lib.from_dict(config_lib.defaults().to_dict()) == config_lib.Config()


def test_defaults_hold_no_none_so_that_every_key_can_be_set_from_the_command_line():
    values = dict(config_lib.flatten(config_lib.defaults().to_dict()))
    assert None not in values.values()
    assert set(config_lib.keys()) == set(values)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"data": {"rooot": "x"}}, r"config.data.rooot is unknown; did you mean config.data.root\?"),
        ({"optm": {}}, r"did you mean config.optim\?"),
        ({"data": {"num_frames": "16"}}, "config.data.num_frames='16' must be an integer"),
        ({"data": {"num_frames": True}}, "must be an integer"),
        ({"data": {"mean": 3}}, "must be a tuple of numbers"),
        ({"data": {"mean": (True, 0, 0)}}, "config.data.mean=True must be a number"),
        ({"data": {"sampling": "dens"}}, "did you mean 'dense'"),
        ({"probe": {"reductions": "cls"}}, "must be a tuple of texts"),
        ({"probe": {"widths": 64}}, "must be a tuple of tuples"),
        ({"probe": {"widths": (64, 32)}}, "config.probe.widths=64 must be a tuple of integers"),
        ({"data": {"root": 3}}, "config.data.root=3 must be text"),
        ({"eval": {"merge": 3}}, "config.eval.merge=3 must be text"),
        ({"eval": {"allow_missing": 1}}, "config.eval.allow_missing=1 must be True or False"),
        ({"data": {"action_classes": (300,)}}, r"data.action_classes=\(300,\) must be a tuple of 2 integers"),
        ({"jepa": {"block_aspect": (1, 2, 3)}}, r"jepa.block_aspect=\(1, 2, 3\) must be a tuple of 2 numbers"),
        ({"probe": {"probes": ("linear", "svn")}}, "config.probe.probes='svn' is unknown; did you mean 'svm'"),
        ({"eval": {"merge": "zzz"}}, "choose one of mean_softmax, sum_logits, max"),
        ({"data": {"num_frames": 0}}, "must be at least 1"),
        ({"model": {"mask_ratio": 1.5}}, "must lie between 0 and 1"),
        ({"optim": None}, "config.optim=None must be a section with keys"),
        ({"data": "folder"}, "config.data='folder' must be a section with keys"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(tree, message):
    with pytest.raises(ConfigError, match=message):
        config_lib.from_dict(tree)


@pytest.mark.parametrize("tree", [None, [], "schema", 2, {}, {"schema": None}])
def test_a_file_that_is_not_a_saved_configuration_is_refused(tree):
    with pytest.raises(ConfigError, match=r"it holds no settings|no schema number|schema None"):
        config_lib.from_saved(tree)


def test_locked_config_refuses_a_misspelt_key():
    config = config_lib.defaults()
    with pytest.raises(AttributeError, match="root"):
        config.data.rot = "x"


def test_whole_numbers_are_taken_for_floats_and_lists_for_tuples():
    config = config_lib.from_dict({"optim": {"base_lr": 1}, "data": {"mean": [0, 0, 0]}})
    assert config.optim.base_lr == 1.0
    assert config.data.mean == (0.0, 0.0, 0.0)
    config = config_lib.from_dict({"probe": {"widths": [[8, 4], [2]], "dropouts": [[0, 0.5], [1]]}})
    assert config.probe.widths == ((8, 4), (2,))
    assert config.probe.dropouts == ((0.0, 0.5), (1.0,))


def test_parse_arg_reads_size_and_smoke_in_any_order():
    sizes = ("small", "base")
    assert config_lib.parse_arg(None, size="base", sizes=sizes) == ("base", False)
    assert config_lib.parse_arg("smoke,small", size="base", sizes=sizes) == ("small", True)
    with pytest.raises(ConfigError, match="choose from small, base, smoke"):
        config_lib.parse_arg("bse", size="base", sizes=sizes)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_resolves_at_every_size_and_as_smoke(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sizes = getattr(module, "RECIPES", None) or getattr(module, "SIZES", ())
    for arg in (None, "smoke", *sizes):
        assert load(path, arg).data.name
    assert load(path, "smoke").data.name == "motion"


def test_peak_learning_rates_are_the_published_ones():
    """Peak = base_lr * videos / reference_batch; the figures are those of the authors' repositories."""
    folder = EXPERIMENTS[0].parent
    published = {
        ("videomae_k400", "small"): 6e-4,
        ("videomae_k400", "base"): 1.2e-3,
        ("videomae_k400", "large"): 3e-4,
        ("videomae_k400", "huge"): 6e-4,
        ("videomae_ucf101", None): 2.25e-4,
        ("videomae_v2_k400", "base"): 4e-3,
        ("videomae_v2_k400", "large"): 6e-3,
        ("videomae_v2_k400", "huge"): 8e-3,
        ("videomae_v2_k400", "giant"): 4.8e-3,
        ("finetune_k400", "small"): 7.5e-4,
        ("finetune_k400", "base"): 7.5e-4,
        ("finetune_k400", "large"): 1e-3,
        ("finetune_k400", "huge"): 2e-3,
        ("finetune_k400", "base_v2"): 1.4e-3,
        ("finetune_k400", "large_v2"): 1.5e-3,
        ("finetune_k400", "huge_v2"): 5e-4,
        ("finetune_k400", "giant"): 3.75e-6,
        ("finetune_k710", "base_v2"): 1.4e-3,
        ("finetune_k710", "huge_v2"): 5e-4,
        ("finetune_k710", "giant"): 3.75e-4,
        ("finetune_ssv2", "small"): 1.5e-3,
        ("finetune_ssv2", "base"): 7.5e-4,
        ("finetune_ucf101", None): 2.5e-4,
        ("vivit_k400", "base"): 0.1,
        ("vivit_k400", "base_fe"): 0.05,
        ("vivit_k400", "large_fe"): 0.1,
        ("vivit_ssv2", None): 0.4,
        ("timesformer_k400", "large"): 5e-3,
        ("videomamba_k400", "ti"): 8e-4,
        ("videomamba_k400", "small"): 8e-4,
        ("videomamba_k400", "middle"): 2e-4,
        ("videomamba_ssv2", "ti"): 1.6e-3,
        ("videomamba_ssv2", "small"): 1.6e-3,
        ("videomamba_ssv2", "middle"): 8e-4,
        ("svt_k400", "base"): 6.25e-5,
    }
    for (name, size), peak in published.items():
        config = load(folder / f"{name}.py", size)
        resolved = config.optim.base_lr * config.data.global_batch / config.optim.reference_batch
        assert resolved == pytest.approx(peak), (name, size)


def test_each_gpu_of_the_authors_mixes_its_own_clips():
    """Each script's GPUs, --batch_size (videos per GPU) and --num_sample (clips per video; 2 if not given)."""
    scripts = {
        ("finetune_k400", "small"): (32, 12, 2),  # VideoMAE/scripts
        ("finetune_k400", "base"): (64, 6, 2),
        ("finetune_k400", "large"): (64, 2, 2),
        ("finetune_k400", "huge"): (64, 8, 2),
        ("finetune_ssv2", "small"): (32, 12, 2),
        ("finetune_ssv2", "base"): (64, 6, 2),
        ("finetune_ucf101", None): (8, 16, 2),
        ("finetune_k400", "base_v2"): (32, 16, 2),  # VideoMAEv2/scripts/finetune
        ("finetune_k400", "large_v2"): (32, 6, 2),
        ("finetune_k400", "huge_v2"): (32, 4, 2),
        ("finetune_k400", "giant"): (32, 3, 2),
        ("finetune_k710", "base_v2"): (32, 16, 2),
        ("finetune_k710", "huge_v2"): (32, 4, 2),
        ("finetune_k710", "giant"): (32, 3, 2),
        ("distil_k400", "base"): (32, 16, 2),
        ("videomamba_k400", "ti"): (8, 64, 2),  # VideoMamba/videomamba/video_sm/exp/{k400,ssv2}/*/run_f16x224.sh
        ("videomamba_k400", "small"): (16, 32, 2),
        ("videomamba_k400", "middle"): (16, 16, 2),
        ("videomamba_k400", "middle_masked"): (16, 16, 2),
        ("videomamba_ssv2", "ti"): (8, 64, 2),
        ("videomamba_ssv2", "small"): (16, 32, 2),
        ("videomamba_ssv2", "middle"): (16, 16, 2),
        ("videomamba_ssv2", "middle_masked"): (16, 16, 2),
    }
    for (name, size), (gpus, batch_size, num_sample) in scripts.items():
        data = load(EXPERIMENTS[0].parent / f"{name}.py", size).data
        found = (data.global_batch, data.clips_per_decode, data.mix_group)
        assert found == (gpus * batch_size, num_sample, batch_size * num_sample), (name, size)


def test_published_recipes_score_the_checkpoint_that_their_authors_score():
    """The last epoch, as in run_class_finetuning.py:541 of VideoMAE; all of VideoMamba's scripts set --test_best."""
    fine_tuned = ("finetune_k400", "finetune_k710", "finetune_ssv2", "finetune_ucf101")
    last = (*fine_tuned, "timesformer_k400", "vivit_k400", "vivit_ssv2")
    for name in (*last, "videomamba_k400", "videomamba_ssv2"):
        found = load(EXPERIMENTS[0].parent / f"{name}.py", None).eval.checkpoint
        assert found == ("last" if name in last else "best"), name


def test_pre_training_lasts_as_many_epochs_as_the_scripts_say():
    """--epochs in VideoMAE/scripts/*/pretrain.sh and VideoMAEv2/scripts/pretrain; the former add one."""
    epochs = {"videomae_k400": 1601, "videomae_ssv2": 2401, "videomae_ucf101": 3201}
    for name, number in epochs.items():
        assert load(EXPERIMENTS[0].parent / f"{name}.py", None).train.epochs == number
    for size, number in {"base": 200, "large": 300, "huge": 300, "giant": 300}.items():
        assert load(EXPERIMENTS[0].parent / "videomae_v2_k400.py", size).train.epochs == number
