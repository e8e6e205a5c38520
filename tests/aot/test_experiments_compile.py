"""Every shipped experiment fits the pod that it is meant for, by the TPU compiler; no TPU is needed (extra aot)."""

import importlib.util
import pathlib

import pytest

from vidjax.aot.compile_step import compile_step
from vidjax.main import read_config

pytestmark = [
    pytest.mark.aot,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed (extra aot)"
    ),
]
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

PODS = {  # experiment: topology, and other keys to set there
    "videomae_k400:small": ("v5e:8x8", ()),
    "videomae_k400:base": ("v5e:16x16", ()),
    "videomae_k400:large": ("v5e:8x8", ()),
    "videomae_k400:huge": ("v5e:16x16", ()),
    "videomae_ssv2:base": ("v5e:16x16", ()),
    "videomae_ucf101:base": ("v5e:4x4", ()),
    "videomae_v2_k400:base": ("v5e:16x16", ()),
    "videomae_v2_k400:giant": ("v5e:16x16", ()),
    "finetune_k400:base": ("v5e:8x8", ()),
    "finetune_k400:huge": ("v5p:8x8x8", ()),
    "finetune_k710:base_v2": ("v5e:8x8", ()),
    "distil_k400:base": ("v5e:8x8", ()),
    "finetune_ssv2:base": ("v5e:8x8", ()),
    "finetune_ucf101:base": ("v5e:8x8", ()),
    "finetune_hmdb51:giant": ("v5p:2x2x2", ()),
    "finetune_k600:giant": ("v5p:2x4x4", ()),
    "timesformer_k400:base": ("v5e:8x8", ()),
    "timesformer_ssv2:base": ("v5e:8x8", ()),
    "vivit_k400:base": ("v5e:8x8", ("mesh.tensor=2",)),
    "vivit_k600:large_fe": ("v5e:8x8", ("mesh.tensor=2",)),
    "vivit_epic_kitchens:": ("v5e:8x8", ("mesh.tensor=2",)),
    "vivit_ssv2:": ("v5e:8x8", ("mesh.tensor=2",)),
    "videomamba_k400:middle": ("v5e:8x8", ()),
    "videomamba_ssv2:middle": ("v5e:8x8", ()),
    "videomamba_breakfast:middle": ("v5e:8x8", ()),
    "videomamba_coin:middle": ("v5e:8x8", ()),
    "videomamba_lvu:director": ("v5e:8x8", ()),
    "videomamba_pretrain:middle": ("v5e:16x16", ()),
    "vjepa2:large": ("v5e:16x16", ()),
    "svt_k400:": ("v5e:4x4", ()),
    "svt_linear:k400": ("v5e:2x2", ()),
    "svt_finetune:k400": ("v5e:8x8", ()),
    "attentive_probe:ssv2": ("v5e:8x8", ()),
    "afew_va:": ("v5e:2x2", ()),
    "charades:videomamba": ("v5e:4x4", ()),
    "charades_caption:svt_trained_all": ("v5e:2x2", ()),
    "contrastive_msrvtt:": ("v5e:2x4", ()),
    "coin:": ("v5e:2x2", ()),
    "pretrain:base": ("v5e:2x2", ("data.name=kinetics400", "data.global_batch=128")),
    "finetune:base": ("v5e:2x2", ("data.name=kinetics400", "data.global_batch=16")),
}


LOOP = "model.unroll=1"  # compiles in a quarter of the time; by default only deep stacks have a loop


@pytest.mark.parametrize("experiment", PODS)
def test_the_step_fits_the_memory_of_a_chip(experiment):
    (name, _, size), (topology, settings) = experiment.partition(":"), PODS[experiment]
    words = [f"--config={CONFIGS / name}.py{':' + size if size else ''}"]
    step = compile_step(read_config([*words, *(f"--config.{setting}" for setting in (*settings, LOOP))]), topology)
    assert step.fits, f"{step.needed_gb:.1f} GB per chip"


def test_every_experiment_that_trains_and_is_not_for_a_laptop_is_compiled():
    laptop = ("motion_", "probe_", "one_film")
    shipped = {path.stem for path in CONFIGS.glob("*.py") if not path.stem.startswith(laptop)}
    trained = {name for name in shipped if read_config([f"--config={CONFIGS / name}.py"]).mode == "train"}
    assert trained == {experiment.partition(":")[0] for experiment in PODS}
