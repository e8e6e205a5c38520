"""VideoMAE fine-tuning on Kinetics-400 (Tong et al., NeurIPS 2022, arXiv:2203.12602), and V2's (arXiv:2303.16727).

Expected   the paper's top-1/top-5 at 5 clips x 3 crops: S 79.0/93.8, B 81.5/95.1, L 85.2/96.8, H 86.6/97.1;
           base_800 80.0/94.4; V2's giant_direct 87.2/97.4, and giant, if PRETRAINED was first fine-tuned on
           Kinetics-710, 88.4/98.0 (none re-run by us)
Command    python -m vidjax.main --config=configs/finetune_k400.py:base --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           the same command with --config.mode=evaluate scores RUN
Giant      starts from vit_g_hybrid_pt_1200e_k710_ft.pth, or a run on data.name=kinetics710. Its head keeps the classes
           listed in misc/label_710to400.json of https://github.com/OpenGVLab/VideoMAEv2 (MIT). Run the command
           in a clone of that repository, or name the file with --config.init_label_map; if that key is empty, the head
           is replaced
Sizes      small, base (default), large, huge, base_800 (after 800 epochs); for V2 base_v2, large_v2, huge_v2,
           giant_direct, giant; `smoke` runs a tiny model on the built-in data in minutes
"""

from vidjax import config as config_lib

# The official scripts, for encoders pre-trained for 1600 epochs, with two augmented clips per decoded video. In them,
# each GPU mixes its own clips, so data.mix_group is twice their --batch_size.
RECIPES = {
    "small": {"data.global_batch": 384, "data.mix_group": 24, "optim.base_lr": 5e-4, "train.epochs": 150},
    "base": {"data.global_batch": 384, "data.mix_group": 12, "optim.base_lr": 5e-4, "train.epochs": 75},
    "base_800": {  # for an encoder pre-trained for 800 epochs, with one clip per video
        "model.name": "videomae_base",
        "data.global_batch": 512,
        "data.clips_per_decode": 1,
        "data.mix_group": 8,
        "optim.base_lr": 1e-3,
        "train.epochs": 100,
    },
    "large": {"data.global_batch": 128, "data.mix_group": 4, "optim.base_lr": 2e-3, "train.epochs": 35},
    "huge": {
        "data.global_batch": 512,
        "data.mix_group": 16,
        "optim.base_lr": 1e-3,
        "optim.min_lr": 1e-5,
        "train.epochs": 50,
        "model.drop_path": 0.2,
        "model.head_dropout": 0.5,
    },
    # V2's scripts, for encoders pre-trained by configs/videomae_v2_k400.py
    "base_v2": {
        "model.name": "videomae_base",
        "data.global_batch": 512,
        "data.mix_group": 32,
        "optim.base_lr": 7e-4,
        "train.epochs": 90,
    },
    "large_v2": {
        "model.name": "videomae_large",
        "data.global_batch": 192,
        "data.mix_group": 12,
        "optim.base_lr": 2e-3,
        "train.epochs": 35,
        "model.drop_path": 0.2,
    },
    "huge_v2": {
        "data.global_batch": 128,
        "data.mix_group": 8,
        "optim.base_lr": 1e-3,
        "optim.layer_decay": 0.8,
        "train.epochs": 40,
        "model.drop_path": 0.2,
        "model.head_dropout": 0.5,
    },
    "giant_direct": {  # without Kinetics-710 in between
        "model.name": "videomae_giant",
        "data.global_batch": 192,
        "data.mix_group": 6,
        "optim.base_lr": 1e-3,
        "optim.weight_decay": 0.1,
        "optim.layer_decay": 0.9,
        "train.epochs": 30,
        "model.drop_path": 0.2,
    },
    "giant": {  # the short last stage, whose head keeps 400 classes of the Kinetics-710 head; see Giant
        "data.global_batch": 96,
        "data.mix_group": 6,
        "optim.base_lr": 1e-5,
        "optim.warmup_epochs": 1,
        "optim.weight_decay": 0.1,
        "optim.layer_decay": 0.9,
        "train.epochs": 3,
        "init_label_map": "misc/label_710to400.json",
        "model.drop_path": 0.25,
    },
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="base", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomae_{size}"
    config.model.drop_path = 0.1

    config.data.name = "kinetics400"
    config.data.num_classes = 400
    config.data.num_frames = 16
    config.data.stride = 4
    config.data.sampling = "dense_span"
    config.data.clips_per_decode = 2
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.flip = 0.5
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25
    config.data.mixup = 0.8
    config.data.cutmix = 1.0

    config.optim.min_lr = 1e-6
    config.optim.warmup_epochs = 5
    config.optim.weight_decay = 0.05
    config.optim.layer_decay = 0.75
    config.optim.label_smoothing = 0.1

    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 5
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
