"""Text-to-video retrieval on MSR-VTT (Xu et al. 2016), split 1k-A: a CLIP ViT-B/32 that averages 12 frames.

Expected   R@1 43.1 from text to video, as CLIP4Clip reports for meanP (arXiv:2104.08860; not re-run by us)
Command    python -m vidjax.main --config=configs/contrastive_msrvtt.py --config.data.root=DIR \
             --config.init_from=CLIP --workdir=RUN
           CLIP is a folder with `openai/clip-vit-base-patch32`: model.safetensors, config.json and tokenizer.json;
           --config.init_from=RUN starts from another contrastive run; --config.data.name=vatex or activitynet_captions
           trains on another data set; `:smoke` runs a tiny model on the built-in data

Loss, batch, frames, learning rate, weight decay, beta2, eps, clipping and run length are CLIP4Clip's. One of its
epochs shows all 20 sentences of each video; here, an epoch shows one of them at random, so its 5 epochs become 100.
Apart from bfloat16, three things differ: CLIP4Clip scales each frame's embedding to length 1 before averaging, cuts
sentences at 32 words, and uses Adam without bias correction.
"""

from vidjax import config as config_lib


def get_config(arg=None):
    _, smoke = config_lib.parse_arg(arg, size="clip", sizes=("clip",))
    config = config_lib.defaults()
    config.task = "contrastive"
    config.model.name = "clip_base32"

    config.contrastive.loss = "softmax"
    config.contrastive.same_caption = "negative"  # as published
    config.contrastive.text = "clip_base"
    config.contrastive.projection = 512

    config.data.name = "msrvtt"
    config.data.num_frames = 12
    config.data.sampling = "segment_middle"
    config.data.crop = "center"
    config.data.interpolation = "bicubic"
    config.data.mean = (0.48145466, 0.4578275, 0.40821073)  # CLIP's
    config.data.std = (0.26862954, 0.26130258, 0.27577711)
    config.data.global_batch = 128

    config.optim.base_lr = 1e-7  # 1e-4 times the 1e-3 of --coef_lr, for all parameters of CLIP
    config.optim.min_lr = 0.0
    config.optim.reference_batch = 128
    config.optim.warmup_epochs = 10
    config.optim.beta2 = 0.98
    config.optim.eps = 1e-6
    config.optim.weight_decay = 0.2
    config.optim.clip_norm = 1.0

    config.train.epochs = 100
    config.train.eval_every = 0
    config.train.checkpoint_every = 1000

    config.eval.clips = 1
    config.eval.crops = 1
    config.eval.checkpoint = "last"  # in 1k-A, the validation videos are the test videos
    return config_lib.smoke(config) if smoke else config
