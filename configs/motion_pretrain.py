"""VideoMAE pre-training on the built-in videos of moving digits: the first half of the quickstart.

Expected   docs/results.md has the top-1 after fine-tuning by configs/motion_finetune.py
Hardware   2 CPU cores, about two minutes
Command    python -m vidjax.main --config=configs/motion_pretrain.py --workdir=RUN
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "masked_autoencoding"
    config_lib.motion(config)

    # Half of the clip's frames are hidden as a whole, so that only motion predicts their content. Hiding tubes over
    # 75 % of the 9 patches did not help the classifier (docs/results.md).
    config.model.mask = "frame"
    config.model.mask_ratio = 0.5

    config.data.sampling = "dense"
    config.data.crop = "multi_scale"
    config.data.crop_scales = (1.0, 0.875, 0.75)
    config.data.global_batch = 16
    config.data.clips_per_decode = 4  # decoding costs more than training a model this small

    config.optim.base_lr = 2e-3
    config.optim.min_lr = 2e-5
    config.optim.reference_batch = 16
    config.optim.warmup_steps = 30
    config.optim.beta2 = 0.95

    config.train.steps = 2400
    config.train.log_every = 100
    config.train.checkpoint_every = 1200
    return config_lib.smoke(config) if smoke else config
