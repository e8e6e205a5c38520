"""V-JEPA 2: weights and accuracies of probes from the authors' README and paper, protocols from their configurations.

The probes have 16 heads, and those on Diving48 and Jester read four levels of the encoder. The probes of `transformers`
have as many heads as the encoder and read only the last level. Where the two differ, the accuracy is listed only for
the authors' file.
"""

from functools import partial

from vidjax.models.zoo_types import Published, Result

_README = "facebookresearch/vjepa2 README.md"
_TABLE = "arXiv:2506.09985 table 4"

_probe = partial(Result, top5=None, crops=3, sampling="dense_span", source=_README, note="probe")
_ssv2 = partial(_probe, "Something-Something v2", clips=2)
_diving48 = partial(_probe, "Diving48", clips=4, stride=2)
_jester = partial(_probe, "Jester", clips=4, stride=2, source=_TABLE)
_k400 = partial(_probe, "Kinetics-400", clips=8, stride=4, overrides={"num_frames": 16}, source=_TABLE)
_coin = partial(_probe, "COIN", clips=8, stride=4, overrides={"num_frames": 16}, source=_TABLE)

PUBLISHED = {
    "large": Published(
        (
            _ssv2(
                73.7, stride=4, overrides={"num_frames": 16},
                weights="facebook/vjepa2-vitl-fpc16-256-ssv2",
            ),
            _ssv2(73.7, stride=4, overrides={"num_frames": 16}, weights="ssv2-vitl-16x2x3.pt"),
            _diving48(
                89.0, overrides={"num_frames": 32, "levels": (17, 19, 21, 23)},
                weights="diving48-vitl-256.pt",
            ),
            _jester(97.6, overrides={"num_frames": 32, "levels": (17, 19, 21, 23)}),
            _k400(85.1),
            _coin(86.8),
        ),
        pretrained=(
            ("facebook/vjepa2-vitl-fpc64-256", "VideoMix22M, self-supervised"),
            ("vitl.pt", "VideoMix22M, self-supervised; with the encoder's moving average"),
            ("facebook/vjepa2-vitl-fpc32-256-diving48", "Diving48, probe of the last level"),
        ),
    ),
    "huge": Published(
        pretrained=(
            ("facebook/vjepa2-vith-fpc64-256", "VideoMix22M, self-supervised"),
            ("vith.pt", "VideoMix22M, self-supervised; with the encoder's moving average"),
        ),
    ),
    "giant": Published(
        pretrained=(
            ("facebook/vjepa2-vitg-fpc64-256", "VideoMix22M, self-supervised"),
            ("vitg.pt", "VideoMix22M, self-supervised; with the encoder's moving average"),
        ),
    ),
    "giant_384": Published(
        (
            _ssv2(77.3, stride=2, weights="ssv2-vitg-384-64x2x3.pt"),
            _diving48(
                90.2, overrides={"num_frames": 32, "levels": (24, 29, 34, 39)},
                weights="diving48-vitg-384-32x4x3.pt",
            ),
            _jester(97.8, overrides={"num_frames": 32, "levels": (24, 29, 34, 39)}),
            _k400(87.3),
            _coin(91.1),
        ),
        pretrained=(
            ("facebook/vjepa2-vitg-fpc64-384", "VideoMix22M, self-supervised"),
            ("vitg-384.pt", "VideoMix22M, self-supervised; with the encoder's moving average"),
            ("facebook/vjepa2-vitg-fpc64-384-ssv2", "SSv2, probe with 22 heads"),
            ("facebook/vjepa2-vitg-fpc32-384-diving48", "Diving48, probe of the last level with 22 heads"),
        ),
    ),
}  # fmt: skip
