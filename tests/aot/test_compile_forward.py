"""Compiling the uses of a trained model for chips that are not attached: scoring videos, extracting features."""

import dataclasses
import importlib.util

import jax
import pytest
import saved_runs

from vidjax.aot import compile_step
from vidjax.aot.compile_forward import compile_embedding, compile_evaluation
from vidjax.cli import main
from vidjax.errors import ConfigError
from vidjax.tasks import build_objective

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed (extra aot)"
)
CONFIG = saved_runs.make_config(eval__clips=2, eval__crops=3, eval__batch=4, data__num_frames=4, data__image_size=64)


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(compile_step, "topology_devices", lambda topology, slices: jax.devices()[:1])


def test_a_task_that_does_not_score_clips_names_what_can_be_compiled(one_device):
    config = dataclasses.replace(CONFIG, task="masked_autoencoding")
    with pytest.raises(ConfigError, match=r"masked_autoencoding.*--what=step or embed"):
        compile_evaluation(config, "v5e:1x1")


def test_the_largest_batch_is_only_for_training_steps(capsys):
    command = ["compile", "--config=motion_finetune", "--topology=v5e:1x1", "--what=embed", "--largest-batch"]
    assert main(command) != 0
    assert "leave it out with --what=embed" in capsys.readouterr().err


def bytes_of(config, clips):
    """Bytes of the float32 parameters and uint8 clips."""
    params = jax.eval_shape(lambda: build_objective(config, 3).init(jax.random.key(0), {})[0])
    return 4 * sum(leaf.size for leaf in jax.tree.leaves(params)) + clips * 4 * 64 * 64 * 3


@needs_libtpu
@pytest.mark.aot
@pytest.mark.slow
def test_an_evaluation_reads_the_parameters_and_every_view_and_multiplies_once_forward():
    found = compile_evaluation(CONFIG, "v5e:1x1")
    assert found.fits
    assert found.clips == 4 * 2 * 3
    assert found.flops_per_clip == build_objective(CONFIG, 3).train_flops_per_clip / 3
    assert found.argument_gb >= bytes_of(CONFIG, 24) / 1e9  # tiles may be padded


@needs_libtpu
@pytest.mark.aot
@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "masked_autoencoding"])
def test_features_take_one_clip_per_video_and_eight_videos_per_chip(task):
    config = dataclasses.replace(CONFIG, task=task)
    one, four = compile_embedding(config, "v5e:1x1"), compile_embedding(config, "v5e:2x2")
    assert (one.clips, four.clips) == (8, 32)
    assert one.fits
    assert one.argument_gb >= bytes_of(config, 8) / 1e9
    assert not four.collectives  # each chip has its own videos
