"""One film by heart: a tiny VideoMAE fills in the three quarters of a film that it does not see.

Use it to illustrate masked autoencoding; a CPU is enough. The model memorises a single shot, or a few, and knows
nothing about other films. `vidjax reconstruct FILM --model RUN` draws the model's reconstruction.

Expected   a loss of about 0.006 on the film of the picture in README.md; more steps make the picture sharper
Hardware   2 CPU cores, three minutes of processor time
Command    python -m vidjax.main --config=configs/one_film.py --config.data.root=DIR --workdir=RUN
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "masked_autoencoding"

    config.model.name = "videomae_tiny"
    config.model.spec.patch_size = 12
    config.model.spec.tubelet_size = 4
    # Wider than tiny's own decoder, since it is the decoder that remembers the film.
    config.model.spec.decoder_width = 192
    config.model.spec.decoder_depth = 1
    config.model.spec.decoder_heads = 4
    config.model.spec.decoder_mlp_dim = 768
    config.model.spec.init_std = 0.1
    config.model.dtype = "float32"
    config.model.mask = "tube"
    config.model.mask_ratio = 0.75
    config.model.normalize_target = False  # a picture of normalised pixels would need the hidden cubes' statistics

    config.data.num_frames = 16
    config.data.stride = 4
    config.data.image_size = 96
    config.data.crop = "center"
    config.data.interpolation = "area"
    config.data.global_batch = 2

    config.optim.base_lr = 2e-3
    config.optim.min_lr = 2e-5
    config.optim.reference_batch = 2
    config.optim.warmup_steps = 50
    config.optim.beta2 = 0.95
    config.optim.weight_decay = 0.0  # the model should remember

    config.train.steps = 1000
    config.train.log_every = 50
    config.train.checkpoint_every = 250
    return config_lib.smoke(config) if smoke else config
