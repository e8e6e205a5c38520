"""Fine-tuning on the built-in videos of moving digits: the second half of the quickstart.

Expected   docs/results.md has the top-1 after configs/motion_pretrain.py and from random weights; chance is 12.5 %
Hardware   2 CPU cores, about a minute
Command    python -m vidjax.main --config=configs/motion_finetune.py --config.init_from=PRETRAINED --workdir=RUN
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "classification"
    config_lib.motion(config)

    config.data.sampling = "dense"
    config.data.crop = "multi_scale"
    config.data.crop_scales = (1.0, 0.875, 0.75)
    config.data.global_batch = 32
    config.data.clips_per_decode = 2

    config.optim.base_lr = 2e-3
    config.optim.min_lr = 2e-5
    config.optim.reference_batch = 32
    config.optim.warmup_steps = 30

    config.train.steps = 600
    config.train.log_every = 50
    config.train.checkpoint_every = 600

    config.eval.clips = 2
    config.eval.crops = 1
    return config_lib.smoke(config) if smoke else config
