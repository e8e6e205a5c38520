"""VideoMamba on COIN: 180 tasks, taught in instructional videos (Li et al., ECCV 2024, arXiv:2403.06977).

Expected   the authors' top-1 at 10 clips x 3 crops (MODEL_ZOO.md; not re-run) with 32 and 64 frames:
             ti 86.2 87.0, small 88.4 88.7, middle 88.3 89.5, middle_masked 89.6 90.4
Command    python -m vidjax.main --config=configs/videomamba_coin.py:small --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED: a run of configs/videomamba_k400.py with the same number of frames (such as small_f32), or the
           authors' videomamba_{t,s,m}16_k400_f32_res224.pth; for middle_masked, their
           videomamba_m16_k400_mask_ft_f32_res224.pth
Sizes      ti, small (default), middle, middle_masked (after masked pre-training) with 32 frames; with the suffix _f64,
           64 frames; `smoke` runs a tiny model on the built-in data in minutes
Differs    from the authors' code in the same respects as configs/videomamba_k400.py. The authors' script for
           middle_masked_f64 has 4 test clips, but their model zoo says 10
"""

from vidjax import config as config_lib

# The authors' exp/coin scripts: values that do not depend on the number of frames, by size.
SIZES = {
    "ti": {
        "data.rand_augment": "rand-m5-n2-mstd0.25-inc1",
        "optim.weight_decay": 0.1,
        "model.drop_path": 0.1,
        "train.epochs": 40,
    },
    "small": {"model.drop_path": 0.4, "train.epochs": 35},
    "middle": {"model.drop_path": 0.8, "train.epochs": 30},
    "middle_masked": {"model.drop_path": 0.4, "train.epochs": 30},
}
# --batch_size and GPUS of each script, by the size and the suffix in this file's names.
SCRIPTS = {
    "ti": {"": (32, 8), "f64": (16, 16)},
    "small": {"": (16, 16), "f64": (8, 16)},
    "middle": {"": (8, 8), "f64": (4, 8)},
    "middle_masked": {"": (8, 8), "f64": (4, 8)},
}


def _recipe(size, clip):
    """Return the recipe of a script, in which each GPU mixes its own clips, two per video."""
    videos, gpus = SCRIPTS[size][clip]
    recipe = {"data.global_batch": videos * gpus, "data.mix_group": 2 * videos}
    return recipe | SIZES[size] | {"data.num_frames": 64 if clip else 32}


RECIPES = {f"{size}_{clip}".rstrip("_"): _recipe(size, clip) for size in SCRIPTS for clip in SCRIPTS[size]}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="small", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomamba_{size.split('_')[0]}"
    config.model.spec.merge_directions = "sum"

    config.data.name = "coin"
    config.data.num_classes = 180
    config.data.sampling = "segment_rounded"  # their Kinetics_sparse, as for Kinetics
    config.data.clips_per_decode = 2
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.flip = 0.5
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25
    config.data.mixup = 0.8
    config.data.cutmix = 1.0

    config.optim.base_lr = 4e-4  # twice their --lr, which is scaled by clips, two per video
    config.optim.min_lr = 2e-6
    config.optim.warmup_lr = 2e-6
    config.optim.warmup_epochs = 5
    config.optim.weight_decay = 0.05
    config.optim.label_smoothing = 0.1

    config.train.checkpoint_every = 1000
    config.train.eval_every = 500

    config.eval.clips = 10
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "best"  # their --test_best, chosen on the very videos that are scored
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
