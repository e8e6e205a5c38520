"""VideoMAE and VideoMAE V2: figures from the authors' model zoos and papers (arXiv:2203.12602, arXiv:2303.16727)."""

from functools import partial

from vidjax.models.zoo_types import Published, Result

_ZOO = "MCG-NJU/VideoMAE MODEL_ZOO.md"
_PAPER = "arXiv:2203.12602"
_V2 = "OpenGVLab/VideoMAEv2 docs/MODEL_ZOO.md"

_dense = partial(Result, crops=3, sampling="dense_span")
_k400 = partial(_dense, "Kinetics-400", clips=5, stride=4, source=_ZOO)
_ssv2 = partial(Result, "Something-Something v2", clips=2, crops=3, stride=0, sampling="segment_integer", source=_ZOO)
_finer = partial(_dense, "Kinetics-400", clips=4, stride=None, source=_PAPER)
_FINER = {"num_frames": 32, "image_size": 320}

PUBLISHED = {
    "small": Published(
        (
            _k400(79.0, 93.8, gmacs=57, weights="MCG-NJU/videomae-small-finetuned-kinetics"),
            _ssv2(66.8, 90.3, gmacs=57, weights="MCG-NJU/videomae-small-finetuned-ssv2"),
            _k400(
                83.7, None, gmacs=57, source=_V2, note="distilled",
                weights="OpenGVLab/VideoMAE2/distill/vit_s_k710_dl_from_giant.pth",
            ),
        ),
        params=22,
    ),
    "base": Published(
        (
            _k400(81.5, 95.1, gmacs=180, weights="MCG-NJU/videomae-base-finetuned-kinetics", note="1600 epochs"),
            _k400(80.0, 94.4, gmacs=180, weights="MCG-NJU/videomae-base-short-finetuned-kinetics", note="800 epochs"),
            _ssv2(70.8, 92.4, gmacs=180, weights="MCG-NJU/videomae-base-finetuned-ssv2", note="2400 epochs"),
            _ssv2(69.6, 92.0, gmacs=180, weights="MCG-NJU/videomae-base-short-finetuned-ssv2", note="800 epochs"),
            _dense("UCF101", 91.3, 98.5, clips=5, stride=4, source=_ZOO, gmacs=180, note="3200 epochs"),
            _dense("HMDB51", 62.6, None, clips=5, stride=4, source=_PAPER, gmacs=180),
            _k400(
                86.6, None, gmacs=180, source=_V2, note="distilled",
                weights="OpenGVLab/VideoMAE2/distill/vit_b_k710_dl_from_giant.pth",
            ),
        ),
        params=87,
        pretrained=(
            ("MCG-NJU/videomae-base", "K400, 1600 epochs"),
            ("MCG-NJU/videomae-base-short", "K400, 800 epochs"),
            ("MCG-NJU/videomae-base-ssv2", "SSv2, 2400 epochs"),
            ("MCG-NJU/videomae-base-short-ssv2", "SSv2, 800 epochs"),
        ),
    ),
    "large": Published(
        (
            _k400(85.2, 96.8, gmacs=597, weights="MCG-NJU/videomae-large-finetuned-kinetics"),
            _finer(86.1, 97.3, overrides=_FINER),
            _ssv2(74.3, 94.6, gmacs=597, source=_PAPER),
        ),
        params=305,
        pretrained=(("MCG-NJU/videomae-large", "K400, 1600 epochs"),),
    ),
    "huge": Published(
        (
            _k400(86.6, 97.1, gmacs=1191, weights="MCG-NJU/videomae-huge-finetuned-kinetics"),
            _finer(87.4, 97.6, overrides=_FINER),
        ),
        params=633,
    ),
    "giant": Published(
        (
            _k400(
                88.4, 98.0, source=_V2, note="via K710",
                weights="vit_g_hybrid_pt_1200e_k710_it_k400_ft.pth",
            ),
            _k400(87.2, 97.4, source=_V2, weights="vit_g_hybrid_pt_1200e_k400_ft.pth"),
            _dense(
                "Kinetics-710", 83.8, 96.4, clips=5, stride=4, source=_V2,
                weights="vit_g_hybrid_pt_1200e_k710_ft.pth",
            ),
            _ssv2(77.0, 95.9, source=_V2, weights="vit_g_hybrid_pt_1200e_ssv2_ft.pth"),
            _dense(
                "UCF101", 99.6, 100.0, clips=5, stride=4, source=_V2,
                weights="vit_g_hybrid_pt_1200e_k710_it_ucf101_ft.pth",
            ),
            _dense(
                "HMDB51", 88.1, 98.5, clips=5, stride=2, source=_V2,
                weights="vit_g_hybrid_pt_1200e_k710_it_hmdb51_ft.pth",
            ),
        ),
        params=1000,
        pretrained=(("vit_g_hybrid_pt_1200e.pth", "1.35 M unlabelled videos, dual masking"),),
    ),
}  # fmt: skip
