"""SVT on the built-in videos of shaking digits: features learned without labels, scored by k nearest neighbours.

Expected   74.0 % accuracy of k-NN for the digit, by scripts/svt_motion.py (random weights 56.2 %, chance 10 %)
Hardware   2 CPU cores, 35 minutes while other programs ran
Command    python -m vidjax.main --config=configs/motion_svt.py --workdir=RUN
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "self_distillation"
    config.model.name = "timesformer_tiny"
    config_lib.motion(config)
    config.model.spec.init_std = 0.1

    config.data.name = "motion_digits"
    config.data.image_size = 32
    config.data.num_frames = 2
    config.data.stride = 10
    config.data.mean = (0.15, 0.15, 0.15)
    config.data.std = (0.25, 0.25, 0.25)
    config.data.global_views = (2, 2)
    config.data.local_views = (1, 1, 1, 1)
    config.data.local_size = 24
    config.data.local_area = (0.4, 0.7)
    config.data.local_span = 0.25
    config.data.crop = "random_resized"
    config.data.crop_area = (0.8, 1.0)
    config.data.crop_aspect = (1.0, 1.0)
    config.data.color_jitter = (0.5, 0.5, 0.0, 0.0)
    config.data.global_batch = 64

    config.distill.prototypes = 256
    config.distill.hidden_dim = 256
    config.distill.bottleneck_dim = 64
    config.distill.teacher_temp = 0.0125
    config.distill.teacher_temp_start = 0.0125
    config.distill.teacher_momentum = 0.99
    config.distill.center_momentum = 0.2  # with such small batches, 0.9 would lag behind the outputs

    config.optim.base_lr = 1e-3
    config.optim.min_lr = 2e-5
    config.optim.reference_batch = 64
    config.optim.warmup_steps = 60
    config.optim.weight_decay = 0.04
    config.optim.clip_norm = 0.5  # the first gradients, towards random targets, are about ten times the later ones
    config.optim.frozen_epochs = 0.125

    config.train.steps = 2000
    config.train.log_every = 25
    config.train.checkpoint_every = 1000
    return config_lib.smoke(config) if smoke else config
