"""Regression on the built-in videos of moving digits: the velocity of the digit, to the right and downwards.

Expected   :smoke with --config.train.steps=300: a CCC of 0.985 on 256 held-out videos (a constant: 0); one seed
Hardware   :smoke about a minute of CPU time
Command    python -m vidjax.main --config=configs/motion_regression.py --workdir=RUN
           :smoke takes 150 steps instead of 600; --config.init_from=PRETRAINED starts from a run of
           configs/motion_pretrain.py
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "regression"
    config_lib.motion(config)
    config.model.spec.init_std = 0.1  # the published 0.02 is meant for wider models and needs far more steps here

    config.data.sampling = "dense"
    config.data.crop = "center"  # a crop of another size would change the velocity
    config.data.global_batch = 64

    config.optim.base_lr = 2e-3
    config.optim.min_lr = 2e-5
    config.optim.reference_batch = 64
    config.optim.warmup_steps = 30

    config.train.steps = 150 if smoke else 600
    config.train.log_every = 50
    config.train.checkpoint_every = 600

    config.eval.clips = 1
    config.eval.crops = 1
    return config
