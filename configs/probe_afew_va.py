"""Valence and arousal of AFEW-VA from frozen backbones: VideoMAE, TimeSformer and ViViT in one table.

Expected   mean CCC in the report "Week 6: VideoMAE", with each token's mean (1568 features) and with 100 principal
           components: VideoMAE 0.0001, -0.0004; TimeSformer 0.196, 0.018; ViViT 0.050, -0.050; all pre-trained on
           Kinetics-400, with 480 clips for training and 120 for testing (not re-run by us)
Command    python -m vidjax.main --config=configs/probe_afew_va.py --config.data.root=DIR --workdir=RUN
           fold 2 of 5: --config.data.train_split=train2 --config.data.eval_split=val2
Storage    float16 tokens, which pca needs, take 2.4 MB per annotated frame and base-size backbone; 4.8 MB for ViViT
Sizes      `smoke` runs tiny random backbones of the three families on the built-in data in minutes
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="base", sizes=("base",))
    config = config_lib.defaults()
    config.mode = "probe"
    config.task = "regression"

    config.data.name = "afew_va"
    config.data.num_frames = 16  # a backbone with another clip length takes its own number of frames from the same span
    config.data.stride = 1
    config.data.sampling = "dense"

    config.probe.backbones = (
        "MCG-NJU/videomae-base-finetuned-kinetics",
        "facebook/timesformer-base-finetuned-k400",
        "google/vivit-b-16x2-kinetics400",
    )
    config.probe.reductions = ("width_mean", "token_mean", "pca")  # width_mean gives the original's 1568 features
    config.probe.components = 100
    config.probe.probes = ("linear", "svm", "knn", "mlp")
    config.probe.widths = ((256, 128, 64, 32), (1024, 512, 256, 128))
    config.probe.dropouts = ((0.7, 0.65, 0.6, 0.55), (0.8, 0.75, 0.7, 0.65), (0.5, 0.4, 0.3, 0.2))
    config.probe.batch = 512  # the CCC in a step's loss is over this many rows
    if smoke:
        config.model.name = "videomae_tiny"
        config_lib.motion(config)
        config.probe.backbones = tuple(f"random:{family}_tiny" for family in ("videomae", "timesformer", "vivit"))
        config.probe.widths = ((64, 32),)
        config.probe.dropouts = ((0.1, 0.1), (0.5, 0.4))
        config.probe.folds = 2
        config.probe.epochs = 15
    return config
