"""Probes on frozen features of the built-in videos of moving digits: the velocity, or one of eight motions.

Expected   mean CCC 0.977 for a linear probe on token means of a VideoMAE that can distinguish the motions, 0.034 with
           random weights; docs/tasks.md has the whole table
Hardware   :smoke a minute or two of CPU time; a second call reuses the features
Command    python -m vidjax.main --config=configs/probe_motion.py --workdir=RUN \
             --config.probe.backbones="('runs/pretrain', 'random:videomae_tiny')"
Sizes      velocity (default), class; `smoke` has fewer probes, reductions and epochs
"""

from vidjax import config as config_lib

SIZES = {"velocity": {"task": "regression"}, "class": {"task": "classification"}}


def get_config(arg=None):
    told, smoke = config_lib.parse_arg(arg, size="velocity", sizes=SIZES)
    config = config_lib.defaults()
    config.mode = "probe"
    config_lib.motion(config)
    config.data.sampling = "dense"
    config.probe.backbones = ("random:videomae_tiny",)
    config.probe.reductions = ("token_mean", "width_mean", "pca", "weighted_tokens")
    config.probe.widths = ((256, 64),)
    config.probe.dropouts = ((0.2, 0.2),)
    config.update_from_flattened_dict(SIZES[told])
    if smoke:  # without token_mean: the mean of random features over all places hardly shows the motion
        config.probe.reductions = ("width_mean", "pca")
        config.probe.probes = ("svm", "knn", "mlp")
        config.probe.epochs = 60
    return config
