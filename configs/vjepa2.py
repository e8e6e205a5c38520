"""V-JEPA 2 pre-training: prediction of a teacher's features, no labels (Assran et al. 2025, arXiv:2506.09985).

Expected   the authors' giant, after the cool-down at 384 pixels, has 77.3 top-1 on Something-Something v2 and 90.2 on
           Diving48 by attentive probes; large has 73.7 and 89.0 (not re-run by us)
Hardware   the authors: 128 GPUs with 24 clips each; for the cool-down 256 with 12 (large, huge) or 512 with 6 (giant)
Command    python -m vidjax.main --config=configs/vjepa2.py:large --workdir=RUN --config.data.mixture.k710.root=K710 \
             --config.data.mixture.ssv2.root=SSV2 --config.data.mixture.howto.root=HOWTO
           the cool-down: the same command with :large_cooldown, --config.init_from=RUN and another --workdir
           videos of your own: set only howto.root, with k710.weight=0 and ssv2.weight=0
Sizes      large (default), huge, giant: 240,000 steps of 16 frames; large_cooldown, huge_cooldown, giant_cooldown,
           giant_384_cooldown: 12,000 steps of 64 frames from such a run; `smoke` runs a tiny model on the built-in data
           in minutes

The mixture is that of the authors' configurations: Kinetics-710, Something-Something v2, and HowTo100M as a folder of
videos. The paper adds images and YT-Temporal-1B. docs/recipes.md compares every value with theirs.
"""

from vidjax import config as config_lib

MODELS = {size: {"model.name": f"vjepa2_{size}"} for size in ("large", "huge", "giant", "giant_384")}
COOLDOWN = {
    "data.num_frames": 64,
    "optim.schedule": "linear",
    # Their linear decay would reach 1e-6 after 15,000 steps; they run 12,000 of these.
    "optim.min_lr": 5.25e-4 + 0.8 * (1e-6 - 5.25e-4),
    "optim.warmup_lr": 0.0,
    "optim.warmup_steps": 0,
    "train.steps": 12_000,
}
RECIPES = {
    "large": MODELS["large"],
    "huge": MODELS["huge"],
    "giant": MODELS["giant"],
    "large_cooldown": MODELS["large"] | COOLDOWN | {"jepa.mask_group": 12},
    "huge_cooldown": MODELS["huge"] | COOLDOWN | {"jepa.mask_group": 12},
    "giant_cooldown": MODELS["giant"] | COOLDOWN | {"jepa.mask_group": 6},
    "giant_384_cooldown": MODELS["giant_384"] | COOLDOWN | {"jepa.mask_group": 6, "data.image_size": 384},
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="large", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "feature_prediction"

    config.data.mixture = {
        "k710": {"name": "kinetics710", "weight": 0.335},
        "ssv2": {"name": "ssv2", "weight": 0.1},
        "howto": {"split": "all", "weight": 0.565},
    }
    config.data.num_frames = 16
    config.data.cubes = (2, 16)
    config.data.fps = 4.0
    config.data.sampling = "dense_span"
    config.data.image_size = 256
    config.data.crop = "random_resized"
    config.data.crop_area = (0.3, 1.0)
    config.data.crop_aspect = (0.75, 1.35)
    config.data.flip = 0.5
    config.data.global_batch = 3072

    config.jepa.blocks = (8, 2)
    config.jepa.block_area = (0.15, 0.7)
    config.jepa.block_aspect = (0.75, 1.5)
    config.jepa.mask_group = 24
    config.jepa.teacher_momentum = 0.99925

    config.optim.base_lr = 5.25e-4
    config.optim.min_lr = 5.25e-4  # constant after the warm-up
    config.optim.reference_batch = 3072
    config.optim.warmup_lr = 1e-4
    config.optim.warmup_steps = 12_000
    config.optim.weight_decay = 0.04
    config.optim.decayed = "matrices"

    config.train.steps = 240_000
    config.train.checkpoint_every = 1000
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
