"""SVT's `.pth`: the teacher is used, arguments are read but not executed, and features equal PyTorch's."""

import argparse

import numpy as np
import pytest

import vidjax
from vidjax.config import IMAGENET_MEAN, IMAGENET_STD
from vidjax.errors import WeightsError
from vidjax.models.timesformer import TimeSformerSpec

torch = pytest.importorskip("torch", reason="the files are PyTorch's (extra: test)")
import svt_torch  # noqa: E402 - needs torch
import timesformer_torch  # noqa: E402 - needs torch

SPEC = TimeSformerSpec(64, 2, 1, 96, patch_size=4, num_frames=4, image_size=12)


def network(seed, prefix=""):
    """A student or teacher, saved like the authors' MultiCropWrapper."""
    state = {key: value.detach().float() for key, value in svt_torch.random_state(SPEC, 33, 20, 10, seed).items()}
    state["head.last_layer.weight_g"] = torch.ones(33, 1)
    return {prefix + (key if key.startswith("head.") else f"backbone.{key}"): value for key, value in state.items()}


@pytest.fixture(scope="module")
def checkpoint():
    return {
        "student": network(1, prefix="module."),
        "teacher": network(0),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "epoch": 20,
        "args": argparse.Namespace(arch="timesformer", out_dim=33, opts=["DATA.RAND_FR", "True"]),
        "dino_loss": {"center": torch.zeros(1, 33)},
    }


def test_the_teachers_backbone_has_the_features_of_pytorch(tmp_path, checkpoint):
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    model = vidjax.from_pretrained(tmp_path / "checkpoint.pth")
    clips = np.random.default_rng(0).integers(0, 256, (2, *SPEC.clip_shape), dtype=np.uint8)
    pixels = (clips / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    teacher = {key.removeprefix("backbone."): value.double() for key, value in checkpoint["teacher"].items()}
    identity = {"head.weight": torch.eye(64).double(), "head.bias": torch.zeros(64).double()}
    expected = timesformer_torch.logits(teacher | identity, SPEC, torch.from_numpy(pixels)).numpy()
    found = model(clips)["pooled"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert model.num_classes == 0
    assert (model.spec, model.clip_recipe.merge, model.labels) == (SPEC, "sum_logits", None)
    assert model.notes[0] == "the file holds teacher and student; teacher is used"
    assert "33 prototypes" in model.notes[1]


def test_frames_and_classes_are_added_on_request(tmp_path, checkpoint):
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    model = vidjax.from_pretrained(tmp_path / "checkpoint.pth", num_frames=8, num_classes=3)
    clips = np.zeros((1, 8, 12, 12, 3), np.uint8)
    assert model(clips)["logits"].shape == (1, 3)


def test_a_teacher_with_a_block_missing_is_refused(tmp_path, checkpoint):
    teacher = {key: value for key, value in checkpoint["teacher"].items() if "blocks.1.temporal_fc" not in key}
    torch.save(checkpoint | {"teacher": teacher}, tmp_path / "half.pth")
    with pytest.raises(WeightsError, match=r"2 keys are missing: blocks\.1\.temporal_fc\.bias"):
        vidjax.from_pretrained(tmp_path / "half.pth")
