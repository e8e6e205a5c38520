"""Squared error of unbounded outputs: against PyTorch's MSELoss, with erased clips, and refused options."""

import flax.linen as nn
import jax
import numpy as np
import pytest
import torch

from vidjax import config as config_lib
from vidjax.errors import ConfigError
from vidjax.models.spec import ClipSpec
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.objectives import LeastSquares
from vidjax.tasks import build_objective

SPEC = TimeSformerSpec(8, 1, 1, 8, patch_size=2, tubelet_size=2, num_frames=2, image_size=2)


class Linear(nn.Module):
    """Predicts one number from the pixels of a clip."""

    spec: ClipSpec = SPEC
    num_classes: int = 1

    @nn.compact
    def __call__(self, clips, train=False):
        return {"logits": nn.Dense(self.num_classes, name="head")(clips.reshape(len(clips), -1))}


def batch_of(rows=6):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (rows, 2, 2, 2, 3), dtype=np.uint8)
    return {"video": video, "target": rng.normal(0, 5, (rows, 1)).astype(np.float32), "valid": np.arange(rows) < 5}


def test_loss_and_gradient_match_pytorch_over_the_valid_rows():
    """engine_for_finetuning_regression.py:14: raw `model(samples)[:, 0]` into MSELoss."""
    batch, objective = batch_of(), LeastSquares(Linear(), (0.5,) * 3, (0.25,) * 3)
    params, extra = objective.init(jax.random.key(0), batch)
    (loss, _), grads = jax.value_and_grad(objective.loss, has_aux=True)(params, extra, batch, {}, False)
    pixels = torch.tensor((batch["video"] / 255 - 0.5) / 0.25, dtype=torch.float32).reshape(6, -1)[:5]
    head = torch.nn.Linear(pixels.shape[1], 1)
    head.load_state_dict({"weight": torch.tensor(np.array(params["head"]["kernel"])).T, "bias": torch.zeros(1)})
    expected = torch.nn.MSELoss()(head(pixels)[:, 0], torch.tensor(batch["target"][:5, 0]))
    expected.backward()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(grads["head"]["kernel"], head.weight.grad.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        objective.scores(params, batch["video"])[:5], head(pixels).detach(), rtol=1e-4, atol=1e-5
    )


def test_clips_are_erased_only_in_training():
    batch, rngs = batch_of(), {"augment": jax.random.key(3), "dropout": jax.random.key(4)}
    plain, erasing = (LeastSquares(Linear(), (0.5,) * 3, (0.25,) * 3, erase=erase) for erase in (0.0, 1.0))
    params, extra = plain.init(jax.random.key(0), batch)
    assert erasing.loss(params, extra, batch, rngs, False)[0] == plain.loss(params, extra, batch, rngs, False)[0]
    assert erasing.loss(params, extra, batch, rngs, True)[0] != plain.loss(params, extra, batch, rngs, True)[0]


def test_outputs_are_unbounded_and_options_for_classes_are_refused():
    keys = {"task": "least_squares", "model.name": "videomae_tiny", "data.num_frames": 4, "data.image_size": 16}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {"data.erase": 0.25})
    objective = build_objective(config_lib.from_dict(config.to_dict()), 1)
    assert objective.erase == 0.25
    params, _ = jax.jit(lambda key: objective.init(key, {}))(jax.random.key(0))
    params["head"]["bias"] = params["head"]["bias"] + 12.0
    scores = jax.jit(objective.scores)(params, np.zeros((3, 4, 16, 16, 3), np.uint8))
    assert np.abs(scores).min() > 10
    for key, value in (("data.mixup", 0.8), ("optim.label_smoothing", 0.1), ("data.mix_group", 16)):
        config.update_from_flattened_dict({key: value})
        with pytest.raises(ConfigError, match=rf"config.{key}={value} is for task=classification"):
            build_objective(config_lib.from_dict(config.to_dict()), 1)
        config.update_from_flattened_dict({key: 0})
