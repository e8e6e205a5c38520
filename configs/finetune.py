"""Fine-tuning a classifier on your own labelled videos, from a run of configs/pretrain.py or from public weights.

The batch, epochs, micro-batches and precision depend on the videos and the machine; vidjax chooses them, prints them
before the first step and stores them in the run. If no size is named, the model, and the sampling, size and
normalisation of its clips, come from `init_from`; without `init_from`, the size depends on the machine
(`vidjax.training.choices`).

Expected   tiny, trained on 60 clips of five motions (docs/tutorials/your-own-videos.md): 96.7, 95.0 and 90.8 % accuracy
           on 120 other clips (three seeds, chance 20 %). The other sizes follow the published recipe; we have not
           re-run them
Command    python -m vidjax.main --config=configs/finetune.py --config.data.root=DIR --config.init_from=PRETRAINED \
             --workdir=RUN
           the same command with --config.mode=evaluate scores RUN
Sizes      tiny (32 pixels, for a CPU), small, base, large, huge (224 pixels); if none is given, the size of init_from,
           or one that suits the machine; `smoke` runs a tiny model on the built-in data in minutes
"""

from vidjax import config as config_lib

TINY = {
    "model.spec.tubelet_size": 4,  # long enough to show a motion
    "model.spec.patch_size": 8,
    "model.spec.decoder_depth": 1,
    "model.spec.init_std": 0.1,  # the published 0.02 is meant for wider models
    "model.drop_path": 0.0,
    "data.image_size": 32,
    "data.crop_area": (0.4, 1.0),
    "data.interpolation": "area",
    "data.clips_per_decode": 4,  # decoding costs more than training a model this small
    "data.color_jitter": (0.6, 0.6, 0.6, 0.2),  # otherwise a few videos are recognised by their colours
    "data.grayscale": 0.3,
    "data.rand_augment": "",  # off, because it would take three times as long as decoding
    "data.erase": 0.0,
    "data.mixup": 0.0,
    "data.cutmix": 0.0,
    "optim.base_lr": 1.5e-3,
    "optim.min_lr": 1e-5,
    "optim.reference_batch": 8,
    "optim.layer_decay": 1.0,
    "eval.clips": 3,
    "eval.crops": 1,
}
RECIPES = {
    "tiny": TINY,
    "small": {},
    "base": {},
    "large": {"optim.base_lr": 2e-3},
    "huge": {"optim.base_lr": 1e-3, "model.drop_path": 0.2, "model.head_dropout": 0.5},
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="", sizes=RECIPES)
    size = "tiny" if smoke else size
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomae_{size}" if size else ""
    config.model.dtype = ""
    config.model.drop_path = 0.1

    config.data.num_frames = 16
    config.data.stride = 4
    config.data.sampling = "dense"
    config.data.clips_per_decode = 2
    config.data.global_batch = 0
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25
    config.data.mixup = 0.8
    config.data.cutmix = 1.0
    # No flips: users' classes often distinguish left from right.

    config.optim.base_lr = 5e-4  # for a batch of 256 videos
    config.optim.min_lr = 1e-6
    config.optim.warmup_epochs = -1
    config.optim.weight_decay = 0.05
    config.optim.layer_decay = 0.75
    config.optim.label_smoothing = 0.1

    config.train.epochs = 0
    config.train.eval_every = -1
    config.train.checkpoint_every = 0
    config.train.log_every = 20

    config.eval.clips = 5
    config.eval.crops = 3
    config.update_from_flattened_dict(RECIPES.get(size, {}))
    return config_lib.smoke(config) if smoke else config
