"""V-JEPA 2 on the built-in videos of moving digits: features learned without labels, scored by linear probes.

Expected   linear probe of the motion: 59 to 71 % with train.steps=900, 30 to 32 % on random weights (docs/results.md)
Hardware   2 CPU cores, four minutes
Command    python -m vidjax.main --config=configs/motion_vjepa.py --workdir=RUN
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "feature_prediction"
    config.model.name = "vjepa2_tiny"
    config_lib.motion(config)
    config.model.spec.init_std = 0.1

    config.data.sampling = "dense"
    config.data.crop = "multi_scale"
    config.data.crop_scales = (1.0, 0.875, 0.75)
    config.data.global_batch = 16
    config.data.clips_per_decode = 4  # decoding costs more than training a model this small

    # Half of a clip's time slices are hidden as a whole. Predicting their features requires the motion; with the
    # published blocks, a hidden part of a digit can be inferred from the rest of the same frame (docs/results.md).
    config.jepa.mask = "frame"
    config.jepa.mask_ratio = 0.5
    config.jepa.teacher_momentum = 0.99  # the published 0.99925 is meant for 240,000 steps

    config.optim.base_lr = 3e-3
    config.optim.min_lr = 3e-5
    config.optim.reference_batch = 16
    config.optim.warmup_steps = 100
    config.optim.beta2 = 0.95
    config.optim.weight_decay = 0.04
    config.optim.decayed = "matrices"

    config.train.steps = 1000
    config.train.log_every = 100
    config.train.checkpoint_every = 1000
    return config_lib.smoke(config) if smoke else config
