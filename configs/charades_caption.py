"""Captioning on Charades (Sigurdsson et al. 2016) by a GPT-2 that attends to SVT or VideoMamba.

Expected   as reported in "Video transformers for classification and captioning on Charades" (not re-run by us):
             SVT         BLEU-1 to -4 .2248 .1056 .0487 .0250, ROUGE-1 and -2 .3101 .0794
             VideoMamba  BLEU-1 to -4 .2333 .1043 .0465 .0233, ROUGE-1 and -2 .2884 .0651
Command    python -m vidjax.main --config=configs/charades_caption.py:svt_trained_all --config.data.root=DIR \
             --config.init_from=PRETRAINED --workdir=RUN
           --config.data.num_frames=16 --config.caption.train_encoder=time_embed extends the time embedding of an
           8-frame SVT and trains no other part of the encoder; --config.caption.beams=5 uses beam search;
           --config.caption.decoder_from=DIR takes a GPT-2 and its vocabulary from disk
Sizes      BACKBONE_VARIANT, such as svt_trained_all (default). Backbones: svt, videomamba. Variants:
           frozen_cls and trained_cls (GPT-2 attends to the class token), frozen_all and trained_all (to all tokens),
           frozen_mapper (to all tokens, through a linear layer), frozen_clips (to the class tokens of four consecutive
           clips). `smoke` runs a tiny model on the built-in data

The batch, the learning rate, eps and the 128 tokens are from that report; sampling, weight decay and epochs are ours.
"""

from vidjax import config as config_lib

BACKBONES = {"svt": ("timesformer_base", 8), "videomamba": ("videomamba_middle", 16)}
VARIANTS = {
    "frozen_cls": {"train_encoder": "none", "encoder_features": "pooled"},
    "frozen_all": {"train_encoder": "none", "encoder_features": "tokens"},
    "frozen_mapper": {"train_encoder": "none", "encoder_features": "tokens", "mapper": True},
    "frozen_clips": {"train_encoder": "none", "encoder_features": "pooled", "num_clips": 4},
    "trained_cls": {"train_encoder": "all", "encoder_features": "pooled"},
    "trained_all": {"train_encoder": "all", "encoder_features": "tokens"},
}
SIZES = tuple(f"{backbone}_{variant}" for backbone in BACKBONES for variant in VARIANTS)


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="svt_trained_all", sizes=SIZES)
    backbone, variant = size.split("_", 1)
    config = config_lib.defaults()
    config.task = "captioning"
    config.model.name, frames = BACKBONES[backbone]
    config.caption.decoder = "small"
    config.caption.decoder_from = "openai-community/gpt2"
    config.caption.num_tokens = 128
    config.caption.update(VARIANTS[variant])

    config.data.name = "charades"
    config.data.num_frames = frames * config.caption.num_clips
    config.data.sampling = "segment"  # descriptions cover the whole video
    config.data.crop = "random_resized"
    config.data.crop_area = (0.5, 1.0)
    config.data.global_batch = 4

    config.optim.base_lr = 2e-4
    config.optim.min_lr = 0.0
    config.optim.reference_batch = 4
    config.optim.eps = 1e-6
    config.optim.weight_decay = 0.01
    config.optim.warmup_epochs = 0.5

    config.train.epochs = 10
    config.train.eval_every = 2000

    config.eval.clips = 1
    config.eval.crops = 1
    return config_lib.smoke(config) if smoke else config
