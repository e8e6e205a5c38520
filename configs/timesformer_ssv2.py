"""TimeSformer on Something-Something v2, divided space-time attention (Bertasius et al., ICML 2021, arXiv:2102.05095).

Expected   the authors' top-1/top-5 at 1 clip x 3 crops: base 59.1/85.6, hr 61.8/86.9, large 62.0/87.5 (README.md; not
           re-run)
Command    python -m vidjax.main --config=configs/timesformer_ssv2.py:base --config.init_from=IMAGE_VIT \
             --config.data.root=DIR --workdir=RUN
           IMAGE_VIT: a ViT-B/16 trained on ImageNet, from timm or transformers
           the same command with --config.mode=evaluate scores RUN
Channels   the authors train on BGR frames, so their public weights need BGR; --config.data.channels=rgb trains on RGB
Sizes      base (8 frames, default), hr (16 frames of 448 pixels), large (64 frames); `smoke` runs a tiny model on the
           built-in data in minutes
"""

from vidjax import config as config_lib

RECIPES = {  # the authors' configs/SSv2: the sizes differ only in the clip
    "base": {"data.num_frames": 8},
    "hr": {"data.num_frames": 16, "data.image_size": 448, "data.short_side": (448, 512)},
    "large": {"data.num_frames": 64},
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="base", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"timesformer_{size}"
    config.model.drop_path = 0.1

    config.data.name = "ssv2"
    config.data.num_classes = 174
    config.data.sampling = "segment_middle"  # one frame from each of num_frames segments; in tests the middle one
    config.data.channels = "bgr"  # the order in which OpenCV reads frames (datasets/utils.py:36); nothing reorders them
    config.data.global_batch = 64
    config.data.crop = "short_side_inverse"  # their INV_UNIFORM_SAMPLE
    config.data.short_side = (256, 320)
    config.data.flip = 0.0  # "pushing from left to right" is not "pushing from right to left"
    config.data.mean = (0.45, 0.45, 0.45)
    config.data.std = (0.225, 0.225, 0.225)

    config.optim.name = "sgd"
    config.optim.base_lr = 0.005
    config.optim.reference_batch = 64
    config.optim.schedule = "steps"
    config.optim.step_epochs = (11.0, 14.0)
    config.optim.step_factors = (0.1, 0.01)
    config.optim.momentum = 0.9
    config.optim.nesterov = True
    config.optim.weight_decay = 1e-4
    config.optim.decayed = "all"

    config.train.epochs = 15
    config.train.checkpoint_every = 1000
    config.train.eval_every = 10000

    config.eval.clips = 1
    config.eval.crops = 3
    config.eval.merge = "sum_logits"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
