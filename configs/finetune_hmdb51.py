"""VideoMAE V2's fine-tuning on HMDB51, split 1 (Wang et al., CVPR 2023, arXiv:2303.16727).

Expected   the authors' top-1 / top-5 at 5 clips x 3 crops: giant 88.1/98.5 (docs/MODEL_ZOO.md; not re-run by us)
Command    python -m vidjax.main --config=configs/finetune_hmdb51.py --config.init_from=PRETRAINED \
             --config.data.root=DIR --workdir=RUN
           PRETRAINED: vit_g_hybrid_pt_1200e_k710_ft.pth, or a run on data.name=kinetics710; its head is replaced
           the same command with --config.mode=evaluate scores RUN
Sizes      giant; `smoke` runs a tiny model on the built-in data in minutes

The values are those of scripts/finetune/vit_g_k710_it_hmdb51_ft.sh. No script is published for VideoMAE's own
top-1 of 62.6, which uses no extra data.
"""

from vidjax import config as config_lib


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="giant", sizes=("giant",))
    config = config_lib.defaults()
    config.task = "classification"

    config.model.name = f"videomae_{size}"
    config.model.drop_path = 0.35
    config.model.head_dropout = 0.5

    config.data.name = "hmdb51"
    config.data.num_classes = 51
    config.data.num_frames = 16
    config.data.stride = 2
    config.data.sampling = "dense_span"
    config.data.clips_per_decode = 2
    config.data.global_batch = 24
    config.data.crop = "random_resized"
    config.data.interpolation = "bilinear"
    config.data.flip = 0.5
    config.data.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.data.rand_augment_interpolation = "bicubic"
    config.data.erase = 0.25
    config.data.mixup = 0.8
    config.data.cutmix = 1.0
    config.data.mix_group = 6  # two clips of each of a GPU's 3 videos

    config.optim.base_lr = 5e-4
    config.optim.min_lr = 1e-6
    config.optim.warmup_epochs = 5
    config.optim.weight_decay = 0.05
    config.optim.layer_decay = 0.9
    config.optim.label_smoothing = 0.1

    config.train.epochs = 15
    config.train.checkpoint_every = 1000
    config.train.eval_every = 5000

    config.eval.clips = 5
    config.eval.crops = 3
    config.eval.merge = "mean_softmax"
    config.eval.checkpoint = "last"
    return config_lib.smoke(config) if smoke else config
