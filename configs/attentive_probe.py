"""Attentive probes of a frozen backbone, the protocol of V-JEPA 2 (Assran et al. 2025, arXiv:2506.09985, table 4).

Expected   the authors' top-1 for V-JEPA 2 (not re-run), by backbone:
             large 256 px: ssv2 73.7, diving48 89.0, jester 97.6, k400 85.1, coin 86.8
             giant 384 px: ssv2 77.3, diving48 90.2, jester 97.8, k400 87.3, coin 91.1
Command    python -m vidjax.main --config=configs/attentive_probe.py:ssv2 --config.data.root=DIR --workdir=RUN \
             --config.init_from=facebook/vjepa2-vitl-fpc64-256
           another backbone: --config.model.name=videomae_base --config.init_from=MCG-NJU/videomae-base \
             --config.data.image_size=224
Sizes      ssv2 (default), k400, coin, diving48, jester: the backbone is large, or giant_384 with the suffix _giant
           (facebook/vjepa2-vitg-fpc64-384); `smoke` runs a tiny random backbone on the built-in data in minutes;
           configs/motion_probe.py probes your own run on that data

The values are those of `configs/eval/vit{l,g-384}/*.yaml` (facebookresearch/vjepa2, c2963a4). Learning rates are not
scaled by the batch there, so reference_batch equals the batch. All heads learn at once, each with its own learning rate
and weight decay. In training and in testing, a head reads the tokens of 2, 4 or 8 clips at once, from as many parts of
a video (data.segments). Apart from bfloat16, three things differ. Their heads start from different random weights; all
of ours start from the same. They report the head that scores best on the test videos. We choose the head by one view of
each test video or, if eval.select_split is set, of each video of that split. Their test clips are random windows; ours
are evenly spaced.
"""

from vidjax import config as config_lib

# The levels of the encoder that the heads for Diving48 and Jester read; they train 3 heads then, and otherwise 20.
LEVELS = {"large": (17, 19, 21, 23), "giant_384": (24, 29, 34, 39)}
TWENTY = {
    "optim.head_learning_rates": (5e-3, 3e-3, 1e-3, 3e-4, 1e-4),
    "optim.head_weight_decays": (0.01, 0.1, 0.4, 0.8),
}
THREE = {"optim.head_learning_rates": (1e-3, 3e-4, 1e-4), "optim.head_weight_decays": (0.8,)}
SHORT = {"data.stride": 4, "train.epochs": 20, **TWENTY}
LONG = {"data.stride": 2, "data.global_batch": 128, "data.segments": 4, "train.epochs": 100, **THREE}
DATA = {
    "ssv2": {"data.name": "ssv2", "data.num_classes": 174, "data.global_batch": 256, "data.segments": 2, **SHORT},
    "k400": {
        "data.name": "kinetics400",
        "data.num_classes": 400,
        "data.global_batch": 256,
        "data.segments": 8,
        **SHORT,
    },
    "coin": {"data.name": "coin", "data.num_classes": 180, "data.global_batch": 128, "data.segments": 8, **SHORT},
    "diving48": {"data.name": "diving48", "data.num_classes": 48, **LONG},
    "jester": {"data.name": "jester", "data.num_classes": 27, **LONG},
}
GIANT = {"ssv2": {"data.stride": 2}}  # otherwise as for large
# Frames per segment; 16 if a size is not listed.
FRAMES = {"ssv2_giant": 64, "diving48": 32, "jester": 32, "diving48_giant": 32, "jester_giant": 32}
SIZES = (*DATA, *(f"{name}_giant" for name in DATA))


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="ssv2", sizes=SIZES)
    name, giant = size.removesuffix("_giant"), size.endswith("_giant")
    config = config_lib.defaults()
    config.task = "attentive_probe"

    config.model.name = "vjepa2_giant_384" if giant else "vjepa2_large"
    config.model.pooling = "attentive4"
    config.model.pooling_heads = 16

    config.data.sampling = "dense_span"
    config.data.image_size = 384 if giant else 256
    config.data.crop = "random_resized"
    config.data.flip = 0.0
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25

    config.optim.base_lr = 1e-3  # the heads' own rates follow its schedule: half a cosine to 0, without warm-up
    config.optim.min_lr = 0.0
    config.optim.decayed = "all"

    config.train.eval_every = -1  # each epoch, for the curves
    config.eval.clips = 1
    config.eval.crops = 3
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(DATA[name] | (GIANT.get(name, {}) if giant else {}))
    config.data.num_frames = FRAMES.get(size, 16) * config.data.segments
    config.optim.reference_batch = config.data.global_batch
    if name in ("diving48", "jester"):
        config.model.spec.levels = LEVELS["giant_384" if giant else "large"]
    if not smoke:
        return config
    config_lib.smoke(config)
    config.data.segments = 2  # of four frames
    if "levels" in config.model.spec:
        config.model.spec.levels = ()  # the tiny model has four blocks
    config.optim.head_learning_rates = (3e-3, 1e-3)
    config.optim.head_weight_decays = (0.01, 0.4)
    return config
