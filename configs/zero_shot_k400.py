"""Zero-shot classification on Kinetics-400: compare videos with the class names; nothing is trained.

Expected   top-1 of VideoPrism-LvT, from its authors' README (arXiv:2402.13217; not re-run by us): base 69.2, large 72.4
Command    python -m vidjax.main --config=configs/zero_shot_k400.py:base --config.data.root=DIR \
             --config.init_from=WEIGHTS --workdir=RUN
           WEIGHTS is a folder with the weights and the vocabulary: `google/videoprism-lvt-base-f16r288` or
           `google/videoprism-lvt-large-f8r288`, or `openai/clip-vit-base-patch16` for clip_base
Sizes      base (default), large: VideoPrism-LvT; clip_base: CLIP ViT-B/16, the mean of 8 frames (no figure was
           published for these frames and this template); `smoke` scores the weights named by init_from on the
           built-in data
Clips      the model, and the frames and normalisation of a clip, are those of the weights unless the command line sets
           them

Frames are evenly spaced over the whole video, as in the authors' notebook. They do not publish how they sampled frames
and worded the classes for these figures, so expect small differences.
"""

from vidjax import config as config_lib

CLIP = {
    "model.name": "clip_base",
    "data.num_frames": 8,
    "data.image_size": 224,
    "data.interpolation": "bicubic",
    "data.mean": (0.48145466, 0.4578275, 0.40821073),
    "data.std": (0.26862954, 0.26130258, 0.27577711),
}
SIZES = {
    "base": {"model.name": "videoprism_base", "data.num_frames": 16},
    "large": {"model.name": "videoprism_large", "data.num_frames": 8},
    "clip_base": CLIP,
}


def get_config(arg=None):
    size, smoke = config_lib.parse_arg(arg, size="base", sizes=SIZES)
    config = config_lib.defaults()
    config.task = "zero_shot"
    config.mode = "evaluate"

    config.data.name = "kinetics400"
    config.data.num_classes = 400
    config.data.image_size = 288
    config.data.sampling = "segment"
    config.data.interpolation = "bilinear"
    config.data.mean = (0.0, 0.0, 0.0)  # VideoPrism reads pixels from 0 to 1
    config.data.std = (1.0, 1.0, 1.0)

    config.eval.clips = 1
    config.eval.crops = 1
    config.update_from_flattened_dict(SIZES[size])
    return config_lib.smoke(config) if smoke else config
