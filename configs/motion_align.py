"""Feature alignment on the built-in videos of shaking digits: a VideoMamba predicts the features of a random CLIP.

Expected   docs/tasks.md has the accuracy of linear probes for the digit, from scripts/align_digits.py (three seeds)
Hardware   2 CPU cores
Command    python -m vidjax.main --config=configs/motion_align.py --workdir=RUN
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "feature_alignment"
    config.model.name = "videomamba_tiny"
    config_lib.motion(config)
    config.model.spec.init_std = 0.1
    config.model.mask = "attention"
    config.model.mask_ratio = 0.5

    config.align.teacher = "clip_tiny"
    config.align.class_token = True

    config.data.name = "motion_digits"
    config.data.image_size = 32
    config.data.num_frames = 2
    config.data.stride = 10
    config.data.mean = (0.15, 0.15, 0.15)
    config.data.std = (0.25, 0.25, 0.25)
    config.data.global_batch = 64
    config.data.crop = "random_resized"
    config.data.crop_area = (0.6, 1.0)
    config.data.crop_aspect = (1.0, 1.0)

    config.optim.base_lr = 2e-3
    config.optim.min_lr = 2e-5
    config.optim.reference_batch = 64
    config.optim.warmup_steps = 30
    config.optim.beta2 = 0.95
    config.optim.weight_decay = 0.05

    config.train.steps = 400
    config.train.log_every = 20
    config.train.checkpoint_every = 400
    return config_lib.smoke(config) if smoke else config
