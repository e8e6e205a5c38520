"""CLIP: OpenAI's weights (arXiv:2103.00020), trained on pairs of images and texts; there are no video classifiers."""

from vidjax.models.zoo_types import Published


def _published(hub_id: str) -> Published:
    return Published(pretrained=((hub_id, "400 M image-text pairs"),))


PUBLISHED = {
    "base32": _published("openai/clip-vit-base-patch32"),
    "base": _published("openai/clip-vit-base-patch16"),
    "large": _published("openai/clip-vit-large-patch14"),
    "large_336": _published("openai/clip-vit-large-patch14-336"),
}
