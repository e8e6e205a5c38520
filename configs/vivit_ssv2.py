"""ViViT-L factorised encoder on Something-Something v2 (Arnab et al., ICCV 2021, arXiv:2103.15691, table 6).

Follows    scenic's `projects/vivit/configs/something_something_v2/vivit_large_factorised_encoder.py`; not re-run by us
Command    python -m vidjax.main --config=configs/vivit_ssv2.py --config.init_from=PRETRAINED_ON_KINETICS \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED_ON_KINETICS: a run of configs/vivit_k400.py:large_fe, or scenic's checkpoint; weights with 24
           temporal blocks need --config.model.spec.temporal_depth=24
           the same command with --config.mode=evaluate scores RUN
Sizes      large_fe (default); `smoke` runs a tiny model on the built-in data in minutes
Differs    from scenic in the same respects as configs/vivit_k400.py
"""

from vidjax import config as config_lib

RECIPES = {"large_fe": {"optim.base_lr": 0.4, "train.epochs": 35}}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="large_fe", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"vivit_{size}"
    config.model.spec.factorization = "encoder"  # already in large_fe; set here for the tiny model of a smoke run
    config.model.spec.temporal_depth = 4
    config.model.drop_path = 0.3

    config.data.name = "ssv2"
    config.data.num_classes = 174
    config.data.num_frames = 32
    config.data.stride = 1
    config.data.sampling = "dense_loop"  # as in DMVR, a video shorter than the clip is repeated
    config.data.image_size = 256
    config.data.global_batch = 64
    config.data.crop = "short_side"
    config.data.short_side = (259, 383)  # 288 x 0.9 to 288 x 1.33
    config.data.flip = 0.0  # "pushing from left to right" is not "pushing from right to left"
    config.data.rand_augment = "scenic-m20-n2"  # eleven operations, none geometric, after the crop
    config.data.mixup = 0.3
    config.data.mix_group = 2  # one draw per device; see Groups in configs/vivit_k400.py
    config.data.mean = (0.5, 0.5, 0.5)
    config.data.std = (0.5, 0.5, 0.5)

    config.optim.name = "sgd"
    config.optim.momentum = 0.9
    config.optim.reference_batch = 64
    config.optim.min_lr = 0.0
    config.optim.warmup_epochs = 2.5
    config.optim.weight_decay = 0.0
    config.optim.clip_norm = 1.0
    config.optim.clip_group = 2  # see Groups in configs/vivit_k400.py
    config.optim.label_smoothing = 0.3

    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 4
    config.eval.crops = 3
    config.eval.merge = "sum_logits"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
