"""VideoMAE V2's fine-tuning on Kinetics-600 (Wang et al., CVPR 2023, arXiv:2303.16727).

Expected   the authors' top-1 / top-5 at 5 clips x 3 crops: giant, after Kinetics-710, 88.8/98.2 (docs/MODEL_ZOO.md of
           https://github.com/OpenGVLab/VideoMAEv2; not re-run by us); none is published for huge_v2
Command    python -m vidjax.main --config=configs/finetune_k600.py --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED for giant: vit_g_hybrid_pt_1200e_k710_ft.pth, or a run on data.name=kinetics710. Its head keeps
           the classes listed in that repository's misc/label_710to600.json (see Giant in configs/finetune_k400.py).
           PRETRAINED for huge_v2: a run of configs/videomae_v2_k400.py:huge
           the same command with --config.mode=evaluate scores RUN
Sizes      giant (default), huge_v2; `smoke` runs a tiny model on the built-in data in minutes

The values are those of that repository's scripts/finetune/vit_g_k710_it_k600_ft.sh and vit_h_k600_ft.sh.
"""

from vidjax import config as config_lib

RECIPES = {  # data.mix_group is twice the scripts' videos per GPU
    "giant": {
        "model.drop_path": 0.25,
        "data.global_batch": 96,
        "data.mix_group": 6,
        "init_label_map": "misc/label_710to600.json",
        "optim.base_lr": 1e-5,
        "optim.warmup_epochs": 1,
        "optim.weight_decay": 0.1,
        "optim.layer_decay": 0.9,
        "train.epochs": 3,
    },
    "huge_v2": {
        "model.drop_path": 0.2,
        "model.head_dropout": 0.5,
        "data.global_batch": 128,
        "data.mix_group": 8,
        "optim.base_lr": 1e-3,
        "optim.warmup_epochs": 5,
        "optim.weight_decay": 0.05,
        "optim.layer_decay": 0.8,
        "train.epochs": 40,
    },
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="giant", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomae_{size}"

    config.data.name = "kinetics600"
    config.data.num_classes = 600
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
    config.optim.label_smoothing = 0.1

    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 5
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
