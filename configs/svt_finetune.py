"""SVT, fine-tuned on labelled videos (Ranasinghe et al., CVPR 2022, arXiv:2112.01514).

Expected   the paper's top-1, not re-run: k400 78.1, ssv2 59.2, ucf101 93.7 and hmdb51 67.2 (means of three splits). The
           paper averages the class tokens of two clips (8 frames of 224 pixels and 64 frames of 96 pixels); this file
           uses the first clip only. With that clip and the published weights, a user reports 94.2 and 68.2 on UCF101
           and HMDB51 (kahnchana/svt, issues 18 and 22)
Command    python -m vidjax.main --config=configs/svt_finetune.py:k400 --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED: a run of configs/svt_k400.py, whose teacher is used, or the authors' kinetics400_vitb_ssl.pth;
           the same command with --config.mode=evaluate scores RUN
Sizes      k400 (default), ssv2, ucf101, hmdb51; `smoke` runs a tiny model on the built-in data in minutes

There is no published script: the authors initialise TimeSformer's own code with their weights and follow its training
(issue 18). The values here are those of that code, which has no UCF101 or HMDB51; here, both are trained like Kinetics.
"""

from vidjax import config as config_lib

_KINETICS = {"data.stride": 32, "data.sampling": "seconds", "data.crop": "short_side", "data.flip": 0.5}
RECIPES = {
    "k400": {"data.name": "kinetics400", "data.num_classes": 400} | _KINETICS,
    "ssv2": {
        "data.name": "ssv2",
        "data.num_classes": 174,
        "data.sampling": "segment_middle",
        "data.channels": "bgr",  # as TimeSformer's code reads frames; pre-training used RGB
        "data.crop": "short_side_inverse",
        "data.flip": 0.0,  # "pushing from left to right" is not "pushing from right to left"
    },
    "ucf101": {"data.name": "ucf101", "data.num_classes": 101} | _KINETICS,
    "hmdb51": {"data.name": "hmdb51", "data.num_classes": 51} | _KINETICS,
}


def get_config(arg=None):
    data, smoke = config_lib.parse_arg(arg, size="k400", sizes=RECIPES)
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = "timesformer_base"
    config.model.drop_path = 0.1

    config.data.num_frames = 8
    config.data.global_batch = 64
    config.data.short_side = (256, 320)
    config.data.mean = (0.45, 0.45, 0.45)  # pre-training used ImageNet's
    config.data.std = (0.225, 0.225, 0.225)

    config.optim.name = "sgd"
    config.optim.base_lr = 0.005
    config.optim.reference_batch = 64
    config.optim.schedule = "steps"
    config.optim.step_epochs = (11.0, 14.0)
    config.optim.step_factors = (0.1, 0.01)
    config.optim.momentum = 0.9
    config.optim.nesterov = True
    config.optim.weight_decay = 1e-4
    config.optim.decayed = "all"

    config.train.epochs = 15
    config.train.checkpoint_every = 1000
    config.train.eval_every = 10000

    config.eval.clips = 1
    config.eval.crops = 3
    config.eval.merge = "sum_logits"
    config.eval.checkpoint = "last"
    config.update_from_flattened_dict(RECIPES[data])
    return config_lib.smoke(config) if smoke else config
