"""Multi-label action recognition on Charades (Sigurdsson et al. 2016), with sliding windows.

Expected   mAP in "Video transformers for classification and captioning on Charades" (not re-run by us): SVT 24.9 and
           VideoMamba 29.4; with windows every 3 s, 25.0 and 29.8; VideoMamba with a learned average of all tokens
           instead of the class token, 24.6
Command    python -m vidjax.main --config=configs/charades.py:videomamba --config.data.root=DIR \
             --config.init_from=PRETRAINED --workdir=RUN
           --config.model.pooling=weighted_tokens averages all tokens; --config.eval.window_stride=6 uses half as many
           windows; --config.eval.window_stride=0 --config.eval.clips=10 --config.eval.crops=3 is SlowFast's protocol
Sizes      videomamba (default), svt; `smoke` runs a tiny model on the built-in data in minutes
"""

from vidjax import config as config_lib

SIZES = {
    "videomamba": {
        "model.name": "videomamba_middle",
        "model.head_widths": (1024, 1024),
        "data.num_frames": 16,
        "optim.base_lr": 1e-5,
    },
    "svt": {
        "model.name": "timesformer_base",
        "model.head_widths": (512, 512),
        "data.num_frames": 8,
        "optim.base_lr": 1e-4,
    },
}


def get_config(arg=None):
    backbone, smoke = config_lib.parse_arg(arg, size="videomamba", sizes=SIZES)
    config = config_lib.defaults()
    config.task = "multi_label"
    config.model.head_dropout = 0.7

    config.data.name = "charades"
    config.data.stride = 4
    config.data.sampling = "dense"
    config.data.crop = "random_resized"
    config.data.crop_area = (0.5, 1.0)
    config.data.flip = 0.5
    config.data.global_batch = 32

    config.optim.reference_batch = 32
    config.optim.min_lr = 1e-7
    config.optim.warmup_epochs = 1
    config.optim.pos_weight = 2.0

    config.train.epochs = 30
    config.train.eval_every = 1000

    config.eval.crops = 1
    config.eval.window_stride = 3.0
    config.eval.window_merge = "max"
    config.update_from_flattened_dict(SIZES[backbone])
    if not smoke:
        return config
    config_lib.smoke(config)
    config.data.train_split = "long_train"
    config.data.eval_split = "long_val"
    config.model.head_widths = (64,)
    config.model.head_dropout = 0.0
    config.eval.window_stride = 0.8
    return config
