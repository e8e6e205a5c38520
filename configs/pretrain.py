"""Pre-training on your own videos, without labels: masked autoencoding (VideoMAE, arXiv:2203.12602).

The model size, batch, epochs, micro-batches and precision depend on the videos and the machine; vidjax chooses them,
prints them before the first step and stores them in the run (`vidjax.training.choices`).

Expected   on a few dozen videos, a tiny model only learns the mean colour of the hidden frames, which did not help
           fine-tuning (one comparison); on 169 videos, it learned features far better than those of random weights
           (docs/tutorials)
Command    python -m vidjax.main --config=configs/pretrain.py --config.data.root=DIR --workdir=RUN
Sizes      tiny (32 pixels, for a CPU), small, base, large, huge (224 pixels); if none is given, one that suits the
           machine; `smoke` runs a tiny model on the built-in data in minutes
"""

from vidjax import config as config_lib

TINY = {
    "model.spec.tubelet_size": 4,  # long enough to show a motion
    "model.spec.patch_size": 8,
    "model.spec.decoder_depth": 1,
    "model.spec.init_std": 0.1,  # the published 0.02 is meant for wider models
    "model.mask": "frame",  # hides half of the frames as a whole, so that only motion predicts their content
    "model.mask_ratio": 0.5,
    "model.normalize_target": False,  # with True, this model's loss stayed above 0.96 for 700 steps on 60 clips
    "data.image_size": 32,
    "data.crop_scales": (1.0, 0.875, 0.75),
    "data.interpolation": "area",
    "data.clips_per_decode": 4,  # decoding costs more than training a model this small
    "data.color_jitter": (0.6, 0.6, 0.6, 0.2),  # otherwise a few videos are recognised by their colours
    "data.grayscale": 0.3,
    "optim.base_lr": 2e-3,
    "optim.min_lr": 2e-5,
    "optim.reference_batch": 16,
}
LARGER = {
    "data.cubes": (2, 16),  # cut by the loader
}
RECIPES = {"tiny": TINY, "small": LARGER, "base": LARGER, "large": LARGER, "huge": LARGER}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="", sizes=RECIPES)
    size = "tiny" if smoke else size
    config = config_lib.defaults()
    config.task = "masked_autoencoding"

    config.model.name = f"videomae_{size}" if size else ""
    config.model.dtype = ""
    config.model.mask = "tube"
    config.model.mask_ratio = 0.9

    config.data.num_frames = 16
    config.data.stride = 4
    config.data.sampling = "dense"
    config.data.crop = "multi_scale"
    config.data.interpolation = "bilinear_antialias"  # Pillow's, which antialiases
    config.data.global_batch = 0

    config.optim.base_lr = 1.5e-4  # for a batch of 256 videos
    config.optim.min_lr = 1e-5
    config.optim.beta2 = 0.95
    config.optim.weight_decay = 0.05
    config.optim.warmup_epochs = -1

    config.train.epochs = 0
    config.train.checkpoint_every = 0
    config.train.log_every = 20
    config.update_from_flattened_dict(RECIPES.get(size, {}))
    return config_lib.smoke(config) if smoke else config
