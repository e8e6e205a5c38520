"""Instructional videos of COIN (Tang et al. 2019): 12 domains, in videos of 10 to 60 seconds, or all 180 tasks.

Expected   domains: precision, recall and F1 of VideoMAE after 15 epochs are all 0.522 without mixup and 0.411 with
           mixup 0.4 ("Video classification lab on COIN"; 787 train and 253 test videos); tasks: top-1 of VideoMamba
           90.4 with 64 frames (none re-run by us)
Command    python -m vidjax.main --config=configs/coin.py --config.data.root=DIR --config.init_from=PRETRAINED \
             --workdir=RUN
           --config.data.mixup=0.4 turns mixup on; scripts/compare_mixup.py runs both and reports them side by side
Sizes      domains (default), tasks, folders (class folders {train,val}/<class>/* in DIR); `smoke` runs a tiny
           model on the built-in data in minutes
"""

from vidjax import config as config_lib

SIZES = {
    "domains": {"data.name": "coin_domains"},
    "folders": {"data.name": "folder"},
    "tasks": {"data.name": "coin", "train.epochs": 50.0},
}


def get_config(arg=None):
    videos, smoke = config_lib.parse_arg(arg, size="domains", sizes=SIZES)
    config = config_lib.defaults()
    config.task = "classification"
    config.model.name = "videomae_base"

    config.data.num_frames = 16
    config.data.sampling = "segment"
    config.data.crop = "random_resized"
    config.data.crop_area = (0.5, 1.0)
    config.data.flip = 0.5
    config.data.global_batch = 32
    config.data.mixup = 0.0  # the lab also tried 0.4

    config.optim.base_lr = 5e-5
    config.optim.reference_batch = 32
    config.optim.min_lr = 0.0
    config.optim.weight_decay = 0.05

    config.train.epochs = 15
    config.train.checkpoint_every = 500

    config.eval.clips = 1
    config.eval.crops = 1
    config.update_from_flattened_dict(SIZES[videos])
    return config_lib.smoke_that_learns(config) if smoke else config
