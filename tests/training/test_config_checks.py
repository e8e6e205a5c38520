"""Keys that do not fit each other are refused when a configuration is read, regardless of data and machine."""

import pathlib
import subprocess
import sys

import pytest
import shipped

from vidjax.config import Config
from vidjax.errors import ConfigError, DataError, UserError
from vidjax.main import main
from vidjax.training import loop
from vidjax.training.config_checks import check_config
from vidjax.training.probing import probe

EXPERIMENTS = sorted(path.stem for path in shipped.CONFIGS.glob("*.py"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_passes_full_and_as_smoke(name):
    full = shipped.read(name, arg="")
    check_config(full if full.model.name else shipped.read(name, arg="base"))
    check_config(shipped.read(name))


def test_an_experiment_that_leaves_its_model_open_asks_for_a_size_where_nothing_can_choose_it():
    with pytest.raises(ConfigError, match=r"--config=FILE:base"):
        check_config(shipped.read("finetune", arg=""))


@pytest.mark.parametrize(
    ("experiment", "changes", "message"),
    [
        ("videomae_k400", {"data__rand_augment": "rand-m99"}, "data.rand_augment='rand-m99'"),
        ("videomae_k400", {"data__color_jitter": "(0.1,0.1)"}, r"must be \(brightness, contrast, saturation, hue\)"),
        ("vivit_k400", {"data__crop": "short_side", "data__short_side": "(8,9)"}, "<= low <= high"),
        ("videomae_k400", {"data__crop_area": "(0.5,2.0)"}, r"must be \(low, high\) with 0 < low <= high <= 1"),
        ("videomae_k400", {"data__mean": "(0.5,)"}, r"^data.mean=\(0.5,\) must be three numbers: red, green, blue"),
        ("videomae_k400", {"data__cubes": "(3,8)"}, r"data.cubes=\(3, 8\) do not tile 8 frames of 24 pixels"),
        ("videomae_k400", {"data__cubes": "(2,8)"}, r"are not those of videomae_tiny; use \(4, 8\)"),
        (
            "timesformer_k400",
            {"data__cubes": "(1,8)"},
            "is for masked_autoencoding and feature_prediction; task=classification takes clips",
        ),
        ("svt_k400", {"data__global_views": "(8,)"}, "must hold the numbers of frames of two views"),
        ("svt_k400", {"data__global_views": "()", "data__local_views": "()"}, "task=self_distillation needs views"),
        ("videomae_k400", {"model__mask_ratio": 0.01}, "model.mask_ratio=0.01 hides 0 of the 9 units"),
        ("videomae_k400", {"data__num_frames": 7}, "7 frames is not a multiple of tubelet_size=4"),
        ("videomae_k400", {"model__spec__tublet_size": 2}, r"did you mean config\.model\.spec\.tubelet_size"),
        ("videomae_k400", {"model__name": "videomae_bse"}, "did you mean 'videomae_base'"),
        ("motion_regression", {"data__mixup": 0.5}, "config.data.mixup=0.5 is for task=classification"),
        ("motion_multi_label", {"optim__class_weights": "balanced"}, "is for task=classification"),
        ("motion_multi_label", {"optim__pos_weight": 0.0}, "must be above 0"),
        ("motion_multi_label", {"eval__window_stride": -1.0}, "config.eval.window_stride=-1.0 must be at least 0"),
        ("motion_caption", {"caption__train_encoder": "time_embed"}, "needs a learned time embedding"),
        ("motion_caption", {"eval__clips": 2}, "a caption describes one view; set both to 1"),
        ("motion_caption", {"caption__num_clips": 3}, "is not a multiple of caption.num_clips=3"),
        (
            "attentive_probe",
            {"data__segments": 3},
            "data.num_frames=8 is not a multiple of data.segments=3; use data.num_f.*=9",
        ),
        ("attentive_probe", {"data__sampling": "segment"}, "data.segments=2 does not apply to data.sampling=segment"),
        (
            "attentive_probe",
            {"data__tubelet_remainder": "drop"},
            "to data.segments=2; use data.tubelet_remainder=error",
        ),
        ("videomae_k400", {"data__segments": 2}, "data.segments=2 is for task=attentive_probe, .*; set it to 1"),
        ("videomamba_k400", {"optim__schedule": "steps"}, "must increase, and optim.step_factors"),
        ("videomamba_k400", {"optim__weight_decay": -0.1}, "config.optim.weight_decay=-0.1 must be at least 0"),
        ("probe_motion", {"probe__backbones": "()"}, "config.probe.backbones is empty"),
        ("probe_motion", {"probe__C": "(0.0,)"}, "config.probe.C has 0, which must be above 0"),
        (
            "probe_motion",
            {"task": "captioning"},
            "config.task='captioning' learns from captions, and probes predict a label",
        ),
        (
            "probe_motion",
            {"task": "masked_autoencoding"},
            "learns from videos alone, and probes predict a label or a target; set config.task to classification",
        ),
    ],
)
def test_keys_that_do_not_fit_are_refused_in_a_sentence(experiment, changes, message):
    with pytest.raises(ConfigError, match=message):
        check_config(shipped.read(experiment, **changes))


def test_a_data_set_without_what_the_task_learns_from_is_refused():
    with pytest.raises(DataError, match=r"rows of data\.name=kinetics400 carry .*, not captions"):
        check_config(shipped.read("motion_caption", data__name="kinetics400"))


def test_every_way_to_start_a_run_checks_first(tmp_path, capsys):
    """The data is missing, but the error reported is the one that can be found without it."""
    wrong = {"data__rand_augment": "rand", "data__name": "folder", "data__root": str(tmp_path / "nowhere")}
    config = shipped.read("finetune_ucf101", **wrong)
    for start in (loop.train, loop.evaluate, probe):
        with pytest.raises(UserError, match=r"data\.rand_augment='rand'"):
            start(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    flags = [f"--config.{key.replace('__', '.')}={value}" for key, value in wrong.items()]
    experiment = shipped.CONFIGS / "finetune_ucf101.py"
    assert main(["vidjax", f"--config={experiment}:smoke", f"--workdir={tmp_path / 'run'}", *flags]) == 2
    assert "data.rand_augment='rand'" in capsys.readouterr().err


def test_checks_start_no_device(tmp_path):
    """On a pod the processes must find each other before JAX looks for devices."""
    code = (
        "import sys\nfrom vidjax.config import Config\nfrom vidjax.training.config_checks import check_config\n"
        "from jax._src import xla_bridge\ncheck_config(Config())\nsys.exit(bool(xla_bridge._backends))"
    )
    root = pathlib.Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
    check_config(Config())
