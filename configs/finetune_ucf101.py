"""VideoMAE fine-tuning on UCF101, split 1 (Tong et al., NeurIPS 2022, arXiv:2203.12602).

Expected   the paper's top-1 / top-5 at 5 clips x 3 crops: B 91.3/98.5 without extra data; V2's giant 99.6/100.0, if
           PRETRAINED was first fine-tuned on Kinetics-710 (not re-run by us)
Command    python -m vidjax.main --config=configs/finetune_ucf101.py --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           the same command with --config.mode=evaluate scores RUN
Sizes      base (default), giant (V2's); `smoke` runs a tiny model on the built-in data in minutes
"""

from vidjax import config as config_lib

RECIPES = {
    "base": {},
    "giant": {  # VideoMAE V2's (arXiv:2303.16727), scripts/finetune/vit_g_k710_it_ucf101_ft.sh
        "data.global_batch": 24,
        "data.mix_group": 6,
        "optim.base_lr": 1e-3,
        "optim.min_lr": 1e-6,
        "optim.layer_decay": 0.9,
        "train.epochs": 50,
        "model.drop_path": 0.35,
    },
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="base", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomae_{size}"
    config.model.drop_path = 0.2
    config.model.head_dropout = 0.5

    config.data.name = "ucf101"
    config.data.num_classes = 101
    config.data.num_frames = 16
    config.data.stride = 4
    config.data.sampling = "dense_span"
    config.data.clips_per_decode = 2
    config.data.global_batch = 128
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.flip = 0.5
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25
    config.data.mixup = 0.8
    config.data.cutmix = 1.0
    config.data.mix_group = 32  # two clips of each of a GPU's 16 videos

    config.optim.base_lr = 5e-4
    config.optim.min_lr = 1e-5
    config.optim.warmup_epochs = 5
    config.optim.weight_decay = 0.05
    config.optim.layer_decay = 0.7
    config.optim.label_smoothing = 0.1

    config.train.epochs = 100
    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 5
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
