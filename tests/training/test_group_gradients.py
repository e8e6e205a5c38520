"""What groups of clipped gradients require of other keys, and the values of the published recipes."""

import jax
import pytest
import toy

from vidjax.config import MeshConfig
from vidjax.errors import ConfigError
from vidjax.main import read_config
from vidjax.tasks import build_objective
from vidjax.training.group_gradients import check_group_gradients
from vidjax.training.mesh import make_mesh


def check(config, *, extra=(), devices=1):
    objective = build_objective(config, 3)
    check_group_gradients(config, objective, extra, make_mesh(MeshConfig(), jax.devices()[:devices]))


def configured(task="classification", **changes):
    keys = {"model__name": "videomae_tiny", "data__name": "synthetic", "data__num_frames": 4, "data__image_size": 32}
    return toy.toy_config(task=task, optim__clip_group=4, **(keys | {"optim__clip_norm": 1.0} | changes))


def test_groups_that_fill_a_batch_on_every_device_pass():
    check(configured())
    check(configured(data__mixup=0.3, data__mix_group=2), devices=4)


@pytest.mark.parametrize(
    ("changes", "devices", "message"),
    [
        ({"optim__clip_norm": 0.0}, 1, r"optim.clip_group=4 clips to optim.clip_norm, which is 0; set"),
        ({"train__accumulate": 2}, 1, r"saves the memory that train.accumulate=2 would save; set train.accumulate=1"),
        ({"data__mixup": 0.3}, 1, r"mix_group=0 mixes clips of the whole batch, .*clip_group=4; set data.mix_group=4"),
        ({"data__mixup": 0.3, "data__mix_group": 8}, 1, r"must be a multiple of data.mix_group=8"),
        (
            {},
            8,
            r"each of the mesh's 8 blocks of rows .* has 2 clips .* into groups of optim.clip_group=4; .*mesh",
        ),
        ({"task": "regression"}, 1, r"does not work with task=regression, .* batch or which .* set optim.clip_group=0"),
    ],
)
def test_groups_that_cannot_be_clipped_separately_are_refused(changes, devices, message):
    with pytest.raises(ConfigError, match=message):
        check(configured(**changes), devices=devices)


def test_an_objective_with_its_own_state_is_refused():
    with pytest.raises(ConfigError, match="whose loss depends on the whole batch"):
        check(configured(), extra={"centre": 0.0})


@pytest.mark.parametrize("experiment", ["vivit_k400:base", "vivit_k400:large_fe", "vivit_ssv2"])
def test_vivit_is_clipped_as_in_scenic(experiment):
    """config.max_grad_norm = 1 in scenic's configurations, and a device batch "more than 1" for mixup."""
    config = read_config([f"--config={experiment}"])
    assert (config.optim.clip_norm, config.optim.clip_group) == (1.0, 2)
    assert config.data.mix_group == (2 if config.data.mixup else 0)
