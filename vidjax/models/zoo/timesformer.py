"""TimeSformer: accuracies from the authors' README and mmaction2, costs from the paper and mmaction2.

The paper (arXiv:2102.05095) prints TFLOPs for all three views together (0.59, 5.11, 7.14); the costs here are a third
of that.
"""

from functools import partial

from vidjax.models.zoo_types import Published, Result

_ZOO = "facebookresearch/TimeSformer README.md"
_MMACTION = "open-mmlab/mmaction2 configs/recognition/timesformer"

_k400 = partial(Result, "Kinetics-400", clips=1, crops=3, sampling="seconds", source=_ZOO)
_k600 = partial(Result, "Kinetics-600", clips=1, crops=3, sampling="seconds", source=_ZOO)
_ssv2 = partial(  # OpenCV reads frames as BGR and nothing reorders them: timesformer/datasets/utils.py:36, ssv2.py:230
    Result, "Something-Something v2", clips=1, crops=3, stride=0, sampling="segment_middle", channels="bgr", source=_ZOO
)
_ablation = partial(Result, "Kinetics-400", clips=1, crops=3, stride=32, source=_MMACTION)

PUBLISHED = {
    "base": Published(
        (
            _k400(77.9, 93.2, stride=32, gmacs=196, weights="facebook/timesformer-base-finetuned-k400"),
            _k600(79.1, 94.4, stride=32, gmacs=196, weights="facebook/timesformer-base-finetuned-k600"),
            _ssv2(59.1, 85.6, gmacs=196, weights="facebook/timesformer-base-finetuned-ssv2"),
            _ablation(76.95, 93.28, gmacs=180, note="joint", overrides={"attention_type": "joint"}),
            _ablation(76.93, 92.88, gmacs=141, note="space only", overrides={"attention_type": "space_only"}),
        ),
        params=121.6,
        pretrained=(("kinetics400_vitb_ssl.pth", "SVT, self-supervised on K400; releases of kahnchana/svt"),),
    ),
    "hr": Published(
        (
            _k400(79.6, 94.0, stride=16, gmacs=1703, weights="facebook/timesformer-hr-finetuned-k400"),
            _k600(81.8, 95.8, stride=16, gmacs=1703, weights="facebook/timesformer-hr-finetuned-k600"),
            _ssv2(61.8, 86.9, gmacs=1703, weights="facebook/timesformer-hr-finetuned-ssv2"),
        ),
    ),
    "large": Published(
        (
            _k400(80.6, 94.7, stride=4, gmacs=2380, weights="TimeSformer_divST_96x4_224_K400.pyth"),
            _k600(82.2, 95.6, stride=4, gmacs=2380, weights="TimeSformer_divST_96x4_224_K600.pyth"),
            _ssv2(62.0, 87.5, weights="TimeSformer_divST_64_224_SSv2.pyth", overrides={"num_frames": 64}),
        ),
    ),
}
