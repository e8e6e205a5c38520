"""VideoMAE fine-tuning on Something-Something v2 (Tong et al., NeurIPS 2022, arXiv:2203.12602), and V2's.

Expected   the paper's top-1 / top-5 at 2 clips x 3 crops: S 66.8/90.3, B 70.8/92.4, base_800 69.6/92.0;
           V2's giant 77.0/95.9 (none re-run by us)
Command    python -m vidjax.main --config=configs/finetune_ssv2.py:base --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           the same command with --config.mode=evaluate scores RUN
Sizes      small, base (default), base_800 (after 800 epochs); for V2 base_v2, large_v2, huge_v2, giant; `smoke` runs a
           tiny model on the built-in data in minutes
"""

from vidjax import config as config_lib

# The official scripts, for encoders pre-trained for 2400 epochs, with two augmented clips per decoded video. In them,
# each GPU mixes its own clips, so data.mix_group is twice their --batch_size.
RECIPES = {
    "small": {"data.mix_group": 24, "optim.base_lr": 1e-3, "optim.layer_decay": 0.7, "train.epochs": 40},
    "base": {"data.mix_group": 12, "optim.base_lr": 5e-4, "optim.layer_decay": 0.75, "train.epochs": 30},
    "base_800": {  # for an encoder pre-trained for 800 epochs, with one clip per video
        "model.name": "videomae_base",
        "data.global_batch": 512,
        "data.clips_per_decode": 1,
        "data.mix_group": 8,
        "optim.base_lr": 5e-4,
        "optim.layer_decay": 0.75,
        "train.epochs": 50,
    },
    # V2's scripts, for encoders pre-trained by configs/videomae_v2_k400.py
    "base_v2": {
        "model.name": "videomae_base",
        "data.global_batch": 256,
        "data.mix_group": 32,
        "optim.base_lr": 2e-3,
        "optim.layer_decay": 0.65,
        "train.epochs": 25,
    },
    "large_v2": {
        "model.name": "videomae_large",
        "data.global_batch": 192,
        "data.mix_group": 12,
        "optim.base_lr": 5e-4,
        "optim.layer_decay": 0.75,
        "train.epochs": 20,
        "model.drop_path": 0.2,
    },
    "huge_v2": {
        "data.global_batch": 128,
        "data.mix_group": 8,
        "optim.base_lr": 5e-4,
        "optim.layer_decay": 0.8,
        "train.epochs": 20,
        "model.drop_path": 0.2,
    },
    "giant": {
        "data.global_batch": 96,
        "data.mix_group": 6,
        "optim.base_lr": 3e-4,
        "optim.layer_decay": 0.9,
        "train.epochs": 20,
        "model.drop_path": 0.25,
    },
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="base", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomae_{size}"
    config.model.drop_path = 0.1

    config.data.name = "ssv2"
    config.data.num_classes = 174
    config.data.num_frames = 16
    config.data.sampling = "segment_integer"  # one random frame from each of 16 segments of equally many frames
    config.data.clips_per_decode = 2
    config.data.global_batch = 384
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.flip = 0.0  # "pushing from left to right" is not "pushing from right to left"
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25
    config.data.mixup = 0.8
    config.data.cutmix = 1.0

    config.optim.min_lr = 1e-6
    config.optim.warmup_epochs = 5
    config.optim.weight_decay = 0.05
    config.optim.label_smoothing = 0.1

    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 2
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
