"""VideoMamba on Something-Something v2, 8 or 16 frames spread over the video (Li et al., ECCV 2024, arXiv:2403.06977).

Expected   the authors' top-1 at 2 clips x 3 crops (MODEL_ZOO.md; not re-run) with 8 frames, 16 frames, and 16 frames of
           288 pixels: ti 65.1 66.0 66.2, small 66.6 67.7 68.1, middle 67.3 68.3 68.4, middle_masked 70.2 71.0 71.4
Command    python -m vidjax.main --config=configs/videomamba_ssv2.py:small --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED: the authors' videomamba_{t,s,m}16_in1k_res224.pth; for middle_masked, a run of
           configs/videomamba_pretrain.py:middle_ssv2 or their videomamba_m16_ssv2_mask_pt_f8_res224.pth; for 288
           pixels, a run with 16 frames
           the same command with --config.mode=evaluate scores RUN
Sizes      ti, small (default), middle, middle_masked (after masked pre-training) with 16 frames; with the suffix _f8,
           8 frames; with _288, 16 frames of 288 pixels; `smoke` runs a tiny model on the built-in data in minutes
Differs    from the authors' code in the same respects as configs/videomamba_k400.py. The authors' script for
           middle_masked_288 has --data_set Kinetics_sparse, which flips clips and samples frames as for Kinetics; here
           it is trained like the other sizes
"""

from vidjax import config as config_lib

# The authors' exp/ssv2 scripts: values that do not depend on the number of frames, by size.
SIZES = {
    "ti": {
        "data.rand_augment": "rand-m5-n2-mstd0.25-inc1",
        "optim.weight_decay": 0.1,
        "model.drop_path": 0.1,
        "train.epochs": 35,
    },
    "small": {"model.drop_path": 0.35, "train.epochs": 30},
    "middle": {"model.drop_path": 0.8, "train.epochs": 30},
    "middle_masked": {"model.drop_path": 0.4, "train.epochs": 30},
}
# --batch_size, GPUS and --lr of each script, by the size and the suffix in this file's names. The script for ti_288 has
# 64 frames, but its name and the model zoo have 16. See Differs for middle_masked_288.
SCRIPTS = {
    "ti": {"f8": (64, 8, 4e-4), "": (64, 8, 4e-4), "288": (32, 16, 5e-6)},
    "small": {"f8": (64, 8, 4e-4), "": (32, 16, 4e-4), "288": (12, 16, 5e-6)},
    "middle": {"f8": (32, 16, 4e-4), "": (16, 16, 4e-4), "288": (6, 16, 5e-6)},
    "middle_masked": {"f8": (32, 16, 1e-4), "": (16, 16, 1e-4), "288": (6, 16, 5e-6)},
}
CLIPS = {
    "f8": {"data.num_frames": 8},
    "": {"data.num_frames": 16},
    "288": {
        "data.num_frames": 16,
        "data.image_size": 288,
        "optim.weight_decay": 1e-8,
        "optim.warmup_epochs": 2,
        "train.epochs": 10,
    },
}


def _recipe(size, clip):
    """Return the recipe of a script, whose --lr is scaled by clips (two per video); each GPU mixes its own clips."""
    videos, gpus, lr = SCRIPTS[size][clip]
    recipe = {"data.global_batch": videos * gpus, "data.mix_group": 2 * videos, "optim.base_lr": 2 * lr}
    return recipe | SIZES[size] | CLIPS[clip]


RECIPES = {f"{size}_{clip}".rstrip("_"): _recipe(size, clip) for size in SCRIPTS for clip in SCRIPTS[size]}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="small", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomamba_{size.split('_')[0]}"
    config.model.spec.merge_directions = "sum"

    config.data.name = "ssv2"
    config.data.num_classes = 174
    config.data.sampling = "segment_integer"  # one random frame from each of num_frames segments of equally many frames
    config.data.clips_per_decode = 2
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.flip = 0.0  # "pushing from left to right" is not "pushing from right to left"
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25
    config.data.mixup = 0.8
    config.data.cutmix = 1.0

    config.optim.min_lr = 2e-6
    config.optim.warmup_lr = 2e-6
    config.optim.warmup_epochs = 5
    config.optim.weight_decay = 0.05
    config.optim.label_smoothing = 0.1

    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 2
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "best"  # their --test_best, chosen on the very videos that are scored
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
