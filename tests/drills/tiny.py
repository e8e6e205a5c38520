"""The experiment that drills start: a classifier that trains for half a second, with validations and checkpoints."""

from vidjax import config as config_lib


def get_config(arg=None):
    config = config_lib.defaults()
    config.task = "classification"
    config.model.name = "videomae_tiny"
    config.model.spec.update(width=24, depth=2, num_heads=2, mlp_dim=32, patch_size=8, tubelet_size=2)
    config.model.dtype = "float32"
    config.model.unroll = 1
    config.model.remat = "none"
    config.data.name = "folder"
    config.data.num_frames = 4
    config.data.stride = 1
    config.data.image_size = 16
    config.data.global_batch = 8
    config.data.crop = "center"
    config.data.workers = 0
    config.data.threads = 1
    config.optim.base_lr = 0.05
    config.optim.warmup_steps = 2
    config.optim.ema = 0.9
    config.train.steps = 24
    config.train.log_every = 1
    config.train.checkpoint_every = 4
    config.train.eval_every = 8
    config.eval.clips = 2
    config.eval.crops = 1
    config.eval.batch = 4
    return config
