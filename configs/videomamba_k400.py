"""VideoMamba on Kinetics-400, 8 to 64 frames spread over the video (Li et al., ECCV 2024, arXiv:2403.06977).

Expected   the authors' top-1 at 4 clips x 3 crops (MODEL_ZOO.md; not re-run) with 8, 16, 32 and 64 frames, and with 64
           frames of 384 pixels:
             ti             76.9  78.1  78.8  79.6  80.3
             small          79.3  80.8  81.5  81.8  82.7
             middle         80.6  81.9  82.4  82.8  83.3
             middle_masked  82.0  83.4  83.9  84.3  85.0
Command    python -m vidjax.main --config=configs/videomamba_k400.py:small --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED: the authors' videomamba_{t,s,m}16_in1k_res224.pth; for middle_masked, a run of
           configs/videomamba_pretrain.py or their videomamba_m16_k400_mask_pt_f8_res224.pth; for 384 pixels, a run with
           64 frames
           the same command with --config.mode=evaluate scores RUN
Sizes      ti, small (default), middle, middle_masked (after masked pre-training) with 16 frames; with the suffix _f8,
           _f32 or _f64, as in small_f32, that many frames; with _384, 64 frames of 384 pixels; `smoke` runs a tiny
           model on the built-in data in minutes
Differs    In the authors' code, layer decay (0.75; 0.8 after masked pre-training) does not apply to Mamba blocks, which
           learn at the full rate, but patch and position embeddings learn at 0.1 % of it or less. Here all parameters
           learn at the full rate; --config.optim.layer_decay would slow the blocks too.
           When middle_masked is fine-tuned from the authors' file, the last norm starts from the file's values here,
           and from ones in the authors' code.
           If a run diverges: --config.model.spec.merge_directions=mean
"""

from vidjax import config as config_lib

# The authors' exp/k400 scripts: values that do not depend on the number of frames, by size.
SIZES = {
    "ti": {
        "data.rand_augment": "rand-m5-n2-mstd0.25-inc1",
        "optim.weight_decay": 0.1,
        "model.drop_path": 0.1,
        "train.epochs": 70,
    },
    "small": {"model.drop_path": 0.35, "train.epochs": 50},
    "middle": {"model.drop_path": 0.8, "train.epochs": 50},
    "middle_masked": {"model.drop_path": 0.4, "train.epochs": 45},
}
# --batch_size, GPUS and --lr of each script, by the size and the suffix in this file's names.
SCRIPTS = {
    "ti": {"f8": (64, 8, 2e-4), "": (64, 8, 2e-4), "f32": (32, 8, 2e-4), "f64": (16, 16, 2e-4), "384": (6, 16, 5e-6)},
    "small": {
        "f8": (64, 8, 2e-4),
        "": (32, 16, 2e-4),
        "f32": (16, 16, 2e-4),
        "f64": (8, 16, 2e-4),
        "384": (2, 32, 5e-6),
    },
    "middle": {
        "f8": (32, 16, 2e-4),
        "": (16, 16, 1e-4),
        "f32": (8, 16, 1e-4),
        "f64": (4, 16, 1e-4),
        "384": (1, 16, 5e-6),
    },
    "middle_masked": {
        "f8": (32, 16, 1e-4),
        "": (16, 16, 1e-4),
        "f32": (8, 16, 1e-4),
        "f64": (4, 16, 1e-4),
        "384": (1, 16, 5e-6),
    },
}
CLIPS = {
    "f8": {"data.num_frames": 8},
    "": {"data.num_frames": 16},
    "f32": {"data.num_frames": 32},
    "f64": {"data.num_frames": 64},
    "384": {"data.num_frames": 64, "data.image_size": 384, "optim.weight_decay": 1e-8},
}


def _recipe(size, clip):
    """Return the recipe of a script, whose --lr is scaled by clips (two per video); each GPU mixes its own clips."""
    videos, gpus, lr = SCRIPTS[size][clip]
    recipe = {"data.global_batch": videos * gpus, "data.mix_group": 2 * videos, "optim.base_lr": 2 * lr}
    recipe |= SIZES[size] | CLIPS[clip]
    if clip == "384":
        epochs = 10 if size == "ti" else 6
        recipe |= {"train.epochs": epochs, "optim.warmup_epochs": 2 if size == "ti" else 1}
        recipe["data.global_batch"] *= 1 if size == "ti" else 2  # --update_freq 2; their rate is scaled with it
    return recipe


RECIPES = {f"{size}_{clip}".rstrip("_"): _recipe(size, clip) for size in SCRIPTS for clip in SCRIPTS[size]}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="small", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomamba_{size.split('_')[0]}"
    config.model.spec.merge_directions = "sum"

    config.data.name = "kinetics400"
    config.data.num_classes = 400
    config.data.sampling = "segment_rounded"  # test clip k lies (k + 1) / (clips + 1) of the way into each segment
    config.data.clips_per_decode = 2
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.flip = 0.5
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

    config.eval.clips = 4
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "best"  # their --test_best, chosen on the very videos that are scored
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
