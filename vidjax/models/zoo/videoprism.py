"""VideoPrism: the public models and their accuracies, from the authors' README.

The frozen encoders were scored with attention pooling and a linear head that are not public, so their results name no
weights. The models with a text tower were scored zero-shot, by the similarity between a video and the class names or
captions.
"""

from functools import partial

from vidjax.models.zoo_types import Published, Result, Retrieval

_README = "google-deepmind/videoprism README.md"

# The authors' notebook takes evenly spaced frames of the whole video; how the figures were computed is not published.
_frozen = partial(Result, top5=None, clips=None, crops=None, stride=None, source=_README, note="frozen")
_zero_shot = partial(
    Result, "Kinetics-400", top5=None, clips=1, crops=1, stride=0, source=_README, sampling="segment", note="zero-shot"
)
_BASE = "google/videoprism-lvt-base-f16r288/flax_lvt_base_f16r288_repeated.npz"
_LARGE = "google/videoprism-lvt-large-f8r288/flax_lvt_large_f8r288_repeated.npz"
_MSRVTT, _VATEX, _ACTIVITYNET = "MSR-VTT, 1k-A", "VATEX", "ActivityNet Captions"

PUBLISHED = {
    "base": Published(
        (
            _frozen("Kinetics-400", 82.9),
            _frozen("Something-Something v2", 62.2),
            _frozen("Diving48", 64.3),
            _zero_shot(top1=69.2, weights=_BASE),
        ),
        pretrained=(
            (
                "google/videoprism-base-f16r288/flax_base_f16r288_repeated.npz",
                "618 M clips: contrastive with text, then masked",
            ),
        ),
        retrieval=(
            Retrieval(_MSRVTT, 50.1, 49.8, _BASE, _README),
            Retrieval(_VATEX, 56.2, 73.1, _BASE, _README),
            Retrieval(_ACTIVITYNET, 48.8, 47.9, _BASE, _README),
        ),
    ),
    "large": Published(
        (
            _frozen("Kinetics-400", 85.0),
            _frozen("Something-Something v2", 64.6),
            _frozen("Diving48", 67.6),
            _zero_shot(top1=72.4, weights=_LARGE),
        ),
        pretrained=(
            (
                "google/videoprism-large-f8r288/flax_large_f8r288_repeated.npz",
                "618 M clips: contrastive with text, then masked",
            ),
        ),
        retrieval=(
            Retrieval(_MSRVTT, 50.1, 50.6, _LARGE, _README),
            Retrieval(_VATEX, 57.2, 75.0, _LARGE, _README),
            Retrieval(_ACTIVITYNET, 51.3, 49.1, _LARGE, _README),
        ),
    ),
}
