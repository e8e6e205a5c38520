"""Real mp4 files of the built-in data set, and tiny checkpoints written by transformers."""

import pytest

from vidjax.data import motion_videos

SIZES = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80, "num_frames": 8,
    "image_size": 48, "patch_size": 8, "decoder_hidden_size": 24, "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 2, "decoder_intermediate_size": 40,
}  # fmt: skip


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Paths of a few videos of 20 frames of 48x48."""
    spec = motion_videos.MotionSpec(train_videos=0, test_videos=0, val_videos=3)
    root = motion_videos.prepare(str(tmp_path_factory.mktemp("data") / "motion"), spec)
    return [f"{root}/{line['video']}" for line in motion_videos.annotations(root)]


def save(model, folder):
    """Write a checkpoint with parameters large enough for outputs to differ."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 or name.endswith("bias"):
                parameter.normal_(0, 0.15)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def transformers():
    torch = pytest.importorskip("torch", reason="checkpoints are made with PyTorch (extra: test)")
    torch.manual_seed(0)
    return pytest.importorskip("transformers", reason="checkpoints are made by transformers (extra: test)")


@pytest.fixture(scope="session")
def classifier(transformers, tmp_path_factory):
    """A folder with a VideoMAE of the eight motion classes."""
    config = transformers.VideoMAEConfig(**SIZES, num_labels=8, id2label=dict(enumerate(motion_videos.CLASSES)))
    return save(transformers.VideoMAEForVideoClassification(config), tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="session")
def several_labels(transformers, tmp_path_factory):
    """The same, for several unnamed labels."""
    config = transformers.VideoMAEConfig(**SIZES, num_labels=5, problem_type="multi_label_classification")
    return save(transformers.VideoMAEForVideoClassification(config), tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="session")
def autoencoder(transformers, tmp_path_factory):
    """A folder with a masked autoencoder."""
    config = transformers.VideoMAEConfig(**SIZES, use_mean_pooling=False)
    return save(transformers.VideoMAEForPreTraining(config), tmp_path_factory.mktemp("autoencoder"))


@pytest.fixture(scope="session")
def plain_autoencoder(transformers, tmp_path_factory):
    """A masked autoencoder that predicts unnormalised pixels."""
    config = transformers.VideoMAEConfig(**SIZES, use_mean_pooling=False, norm_pix_loss=False)
    return save(transformers.VideoMAEForPreTraining(config), tmp_path_factory.mktemp("plain"))
