"""An attentive probe of a frozen VideoMAE, for eight motions of the built-in videos of moving digits.

Expected   docs/results.md has the top-1 beside a logistic regression on pooled features; chance is 12.5 %
Hardware   one CPU core, a few minutes
Command    python -m vidjax.main --config=configs/motion_probe.py --config.init_from=PRETRAINED --workdir=RUN
           PRETRAINED: a run of configs/motion_pretrain.py; without it, the backbone keeps random weights
Sizes      attentive (default): a learned query attends to all tokens; attentive4: the same after three blocks of
           self-attention

Two learning rates and two weight decays make four heads. The head is chosen on val and scored on test.
"""

from vidjax import config as config_lib

SIZES = ("attentive", "attentive4")


def get_config(arg=None):
    pooling, smoke = config_lib.parse_arg(arg, size="attentive", sizes=SIZES)
    config = config_lib.defaults()
    config.task = "attentive_probe"
    config.model.name = "videomae_tiny"
    config_lib.motion(config)
    config.model.pooling = pooling
    config.model.pooling_heads = 4

    config.data.eval_split = "test"
    config.data.sampling = "dense"
    config.data.crop = "center"
    config.data.global_batch = 64

    config.optim.base_lr = 3e-3
    config.optim.min_lr = 0.0
    config.optim.reference_batch = 64
    config.optim.decayed = "all"
    config.optim.head_learning_rates = (3e-3, 1e-3)
    config.optim.head_weight_decays = (0.01, 0.4)

    config.train.steps = 400
    config.train.log_every = 50
    config.train.eval_every = 200
    config.train.checkpoint_every = 200

    config.eval.select_split = "val"
    config.eval.clips = 1
    config.eval.crops = 1
    config.eval.checkpoint = "last"
    return config_lib.smoke(config) if smoke else config
