"""VideoMAE V2 fine-tuning on Kinetics-710, between pre-training and fine-tuning on other data (arXiv:2303.16727).

Expected   the authors' top-1/top-5 at 5 clips x 3 crops: giant 83.8/96.4 (not re-run by us); none for the other sizes
Command    python -m vidjax.main --config=configs/finetune_k710.py:giant --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           the same command with --config.mode=evaluate scores RUN; configs/finetune_k400.py:giant starts from it
Distilled  giant's students, vit_{s,b}_k710_dl_from_giant.pth, are public: small 77.6, base 81.5 (MODEL_ZOO.md). There
           is no public script for their distillation. Nor is there one for the fine-tuning after it, with which they
           reach 84.0 and 87.1 on Kinetics-400, and 84.6 and 87.4 on Kinetics-600, at 7 clips x 3 crops. To score small:
           --config.mode=evaluate --config.model.name=videomae_small \
             --config.init_from=OpenGVLab/VideoMAE2/distill/vit_s_k710_dl_from_giant.pth
Sizes      base_v2, huge_v2, giant (default); `smoke` runs a tiny model on the built-in data in minutes
"""

from vidjax import config as config_lib

RECIPES = {  # VideoMAE V2's scripts/finetune/vit_{b,h,g}_k710_ft.sh; data.mix_group is twice their videos per GPU
    "base_v2": {
        "model.name": "videomae_base",
        "model.drop_path": 0.1,
        "data.global_batch": 512,
        "data.mix_group": 32,
        "optim.base_lr": 7e-4,
        "optim.layer_decay": 0.75,
        "train.epochs": 90,
    },
    "huge_v2": {
        "model.drop_path": 0.2,
        "model.head_dropout": 0.5,
        "data.global_batch": 128,
        "data.mix_group": 8,
        "optim.base_lr": 1e-3,
        "optim.layer_decay": 0.8,
        "train.epochs": 40,
    },
    "giant": {
        "model.drop_path": 0.3,
        "data.global_batch": 96,
        "data.mix_group": 6,
        "optim.base_lr": 1e-3,
        "optim.clip_norm": 5.0,
        "optim.weight_decay": 0.1,
        "optim.layer_decay": 0.9,
        "train.epochs": 35,
    },
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="giant", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomae_{size}"

    config.data.name = "kinetics710"
    config.data.num_classes = 710
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
    config.optim.label_smoothing = 0.1

    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 5
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
