"""SVT on the embedded videos of moving digits: features learned without labels, judged by k nearest neighbours.

Expected   k-NN accuracy on the digit label far above that of random weights: scripts/svt_motion.py makes the table
Hardware   2 CPU cores, about ten minutes
Command    python -m vidjax.main --config=configs/motion_svt.py --workdir=RUN
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "self_distillation"
    config.model.name = "timesformer_tiny"
    config_lib.motion(config)

    config.data.global_views = (8, 8)
    config.data.local_views = (8, 8, 8, 8)
    config.data.local_size = 16
    config.data.local_area = (0.3, 0.6)
    config.data.local_span = 0.25
    config.data.crop = "random_resized"
    config.data.crop_area = (0.6, 1.0)
    config.data.color_jitter = (0.4, 0.4, 0.2, 0.1)
    config.data.color_jitter_prob = 0.8
    config.data.grayscale = 0.2
    config.data.global_batch = 32
    config.data.stride = 3

    config.distill.prototypes = 512
    config.distill.hidden_dim = 256
    config.distill.bottleneck_dim = 64
    config.distill.teacher_momentum = 0.99

    config.optim.base_lr = 1e-3
    config.optim.min_lr = 1e-5
    config.optim.reference_batch = 32
    config.optim.warmup_steps = 50
    config.optim.weight_decay = 0.04
    config.optim.clip_each = 3.0
    config.optim.frozen_epochs = 0.5

    config.train.steps = 600
    config.train.log_every = 25
    config.train.checkpoint_every = 600
    return config_lib.smoke(config) if smoke else config
