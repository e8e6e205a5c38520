"""VideoMamba on Something-Something v2, 16 frames spread over the video (Li et al., ECCV 2024, arXiv:2403.06977).

Expected   the authors' top-1 at 2 clips x 3 crops: ti 66.0, small 67.7, middle 68.3, middle_masked 71.0 (not re-run)
Command    python -m vidjax.main --config=configs/videomamba_ssv2.py:small --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED: the authors' videomamba_{t,s,m}16_in1k_res224.pth; for middle_masked their
           videomamba_m16_ssv2_mask_pt_f8_res224.pth; the same with --config.mode=evaluate scores RUN
Sizes      ti, small (default), middle, middle_masked (after masked pre-training); `smoke` runs a tiny model on the
           embedded data in minutes
Differs    as configs/videomamba_k400.py
"""

from vidjax import config as config_lib

# The authors' exp/ssv2 scripts for 16 frames. Their rate counts both clips of a video: base_lr is twice their --lr.
# Each of their GPUs mixes its own clips: data.mix_group is twice their --batch_size.
RECIPES = {
    "ti": {
        "data.global_batch": 512,
        "data.mix_group": 128,
        "data.rand_augment": "rand-m5-n2-mstd0.25-inc1",
        "optim.base_lr": 8e-4,
        "optim.weight_decay": 0.1,
        "model.drop_path": 0.1,
        "train.epochs": 35,
    },
    "small": {
        "data.global_batch": 512,
        "data.mix_group": 64,
        "optim.base_lr": 8e-4,
        "model.drop_path": 0.35,
        "train.epochs": 30,
    },
    "middle": {
        "data.global_batch": 256,
        "data.mix_group": 32,
        "optim.base_lr": 8e-4,
        "model.drop_path": 0.8,
        "train.epochs": 30,
    },
    "middle_masked": {
        "data.global_batch": 256,
        "data.mix_group": 32,
        "optim.base_lr": 2e-4,
        "model.drop_path": 0.4,
        "train.epochs": 30,
    },
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="small", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomamba_{size.removesuffix('_masked')}"
    config.model.spec.merge_directions = "sum"
    config.model.remat = "full"  # of the 3137 tokens of a clip, a block keeps its input only

    config.data.name = "ssv2"
    config.data.num_classes = 174
    config.data.num_frames = 16
    config.data.sampling = "segment_integer"  # one random frame of each of 16 segments of whole frames
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
    config.optim.warmup_epochs = 5
    config.optim.weight_decay = 0.05
    config.optim.label_smoothing = 0.1

    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 2
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "best"  # their --test_best, chosen on the videos that it is scored on
    config.update_from_flattened_dict(RECIPES[size])
    return config_lib.smoke(config) if smoke else config
