"""VideoMamba: results from the authors' model zoo for video, and costs from their paper (arXiv:2403.06977).

All clips are spread over the whole video. The zoo writes frames x crops x clips; we write clips x crops, as elsewhere.
"""

from functools import partial

from vidjax.models.zoo_types import Published, Result

_ZOO = "OpenGVLab/VideoMamba videomamba/video_sm/MODEL_ZOO.md"

# All of the authors' scripts pass --test_best.
_spread = partial(Result, top5=None, crops=3, stride=0, checkpoint="best", source=_ZOO)
_k400 = partial(_spread, "Kinetics-400", clips=4, sampling="segment_rounded")
_ssv2 = partial(_spread, "Something-Something v2", clips=2, sampling="segment_integer")


def _at(num_frames: int, image_size: int = 224) -> dict:
    return {"num_frames": num_frames, "image_size": image_size}


def _kinetics(letter: str, top1: dict[int, float], gmacs: dict[int, int], at_384: float) -> tuple[Result, ...]:
    """Return one result per number of frames, and one of a model fine-tuned with 64 frames of 384 pixels."""
    name = f"OpenGVLab/VideoMamba/videomamba_{letter}16_k400_f{{}}_res224{{}}.pth"
    results = [
        _k400(accuracy, gmacs=gmacs.get(frames), weights=name.format(frames, ""), overrides=_at(frames))
        for frames, accuracy in top1.items()
    ]
    return (*results, _k400(at_384, weights=name.format(64, "to384"), overrides=_at(64, 384)))


def _something(letter: str, at_8: float, at_16: float, at_288: float) -> tuple[Result, ...]:
    name = f"OpenGVLab/VideoMamba/videomamba_{letter}16_ssv2_f{{}}_res224{{}}.pth"
    return (
        _ssv2(at_8, weights=name.format(8, ""), overrides=_at(8)),
        _ssv2(at_16, weights=name.format(16, ""), overrides=_at(16)),
        _ssv2(at_288, weights=name.format(16, "to288"), overrides=_at(16, 288)),
    )


_masked = partial(_k400, note="masked")
_MASKED = "OpenGVLab/VideoMamba/videomamba_m16_k400_mask_ft_f{}_res224{}.pth"
_MASKED_SSV2 = "OpenGVLab/VideoMamba/videomamba_m16_ssv2_mask_ft_f{}_res224{}.pth"

PUBLISHED = {
    "ti": Published(
        (
            *_kinetics("t", {8: 76.9, 16: 78.1, 32: 78.8, 64: 79.6}, {8: 9, 16: 17, 32: 34}, 80.3),
            *_something("t", 65.1, 66.0, 66.2),
        ),
        params=7,
        pretrained=(("OpenGVLab/VideoMamba/videomamba_t16_in1k_res224.pth", "ImageNet-1K"),),
    ),
    "small": Published(
        (
            *_kinetics("s", {8: 79.3, 16: 80.8, 32: 81.5, 64: 81.8}, {8: 34, 16: 68}, 82.7),
            *_something("s", 66.6, 67.7, 68.1),
        ),
        params=26,
        pretrained=(("OpenGVLab/VideoMamba/videomamba_s16_in1k_res224.pth", "ImageNet-1K"),),
    ),
    "middle": Published(
        (
            *_kinetics("m", {8: 80.6, 16: 81.9, 32: 82.4, 64: 82.8}, {8: 101, 16: 202}, 83.3),
            _masked(82.0, weights=_MASKED.format(8, ""), overrides=_at(8)),
            _masked(83.4, weights=_MASKED.format(16, ""), overrides=_at(16)),
            _masked(83.9, weights=_MASKED.format(32, ""), overrides=_at(32)),
            _masked(84.3, weights=_MASKED.format(64, ""), overrides=_at(64)),
            _masked(85.0, weights=_MASKED.format(64, "to384"), overrides=_at(64, 384)),
            *_something("m", 67.3, 68.3, 68.4),
            _ssv2(70.2, weights=_MASKED_SSV2.format(8, ""), overrides=_at(8), note="masked"),
            _ssv2(71.0, weights=_MASKED_SSV2.format(16, ""), overrides=_at(16), note="masked"),
            _ssv2(71.4, weights=_MASKED_SSV2.format(16, "to288"), overrides=_at(16, 288), note="masked"),
        ),
        params=74,
        pretrained=(
            ("OpenGVLab/VideoMamba/videomamba_m16_in1k_res224.pth", "ImageNet-1K"),
            ("OpenGVLab/VideoMamba/videomamba_m16_k400_mask_pt_f8_res224.pth", "K400, masked"),
            (
                "OpenGVLab/VideoMamba/videomamba_m16_ssv2_mask_pt_f8_res224.pth",
                "SSv2, masked",
            ),
        ),
    ),
    "base": Published(params=98, pretrained=(("OpenGVLab/VideoMamba/videomamba_b16_in1k_res224.pth", "ImageNet-1K"),)),
}
