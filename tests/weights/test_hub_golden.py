"""Public weights against logits that their authors or converters published: `pytest -m hub`, which downloads 6 GB.

The numbers are those of the conversion scripts and tests of `transformers`: a video of eating spaghetti, its frames
resized by Pillow, pixels in [-1, 1]. Those of VideoMAE's small model are left out: they were made with 16 heads.
"""

import dataclasses

import jax
import numpy as np
import peers
import pytest
from PIL import Image

import vidjax
from vidjax import ops

pytestmark = pytest.mark.hub
PUBLISHED_TO = 2e-4  # four decimals, of another framework


def clip_of(video, short_side, size):
    """Frames (t h w 3) resized and cropped in the middle, as one clip."""
    height, width = video.shape[1:3]
    wide, high = (int(short_side * side / min(height, width)) for side in (width, height))
    frames = np.stack([np.asarray(Image.fromarray(frame).resize((wide, high), Image.BILINEAR)) for frame in video])
    top, left = (high - size) // 2, (wide - size) // 2
    return frames[None, :, top : top + size, left : left + size]


def spaghetti(name="eating_spaghetti.npy"):
    from huggingface_hub import hf_hub_download

    return np.load(hf_hub_download("hf-internal-testing/spaghetti-video", name, repo_type="dataset"))


def logits_of(model, clip):
    """With pixels in [-1, 1], whatever the model was trained with."""
    return np.asarray(dataclasses.replace(model, mean=(0.5,) * 3, std=(0.5,) * 3)(clip)["logits"])[0]


@pytest.mark.parametrize(
    ("source", "published"),
    [
        ("MCG-NJU/videomae-base-finetuned-kinetics", [0.3669, -0.0688, -0.2421]),
        ("MCG-NJU/videomae-large-finetuned-kinetics", [0.0771, 0.0011, -0.3625]),
        ("MCG-NJU/videomae-huge-finetuned-kinetics", [0.2433, 0.1632, -0.4894]),
        ("MCG-NJU/videomae-base-finetuned-ssv2", [0.1961, -0.8337, -0.6389]),
        ("facebook/timesformer-base-finetuned-k400", [-0.3016, -0.7713, -0.4205]),
        # The script shows clips of 8 frames of 224 pixels for all models, which this one cannot take there.
        ("facebook/timesformer-hr-finetuned-k400", [-0.9617, -3.7311, -3.7708]),
    ],
)
def test_a_public_classifier_gives_the_published_logits(source, published):
    model = vidjax.from_pretrained(source)
    clip = clip_of(spaghetti()[: model.spec.num_frames], *model.spec.frame_size)
    np.testing.assert_allclose(logits_of(model, clip)[:3], published, rtol=0, atol=PUBLISHED_TO)
    assert len(model.labels) == model.num_classes


def test_the_public_vivit_gives_the_published_logits():
    model = vidjax.from_pretrained("google/vivit-b-16x2-kinetics400")
    clip = clip_of(spaghetti("eating_spaghetti_32_frames.npy"), 256, 224)
    published = [-1.0543, 2.0764, -0.2104, 0.4439, -0.9658]
    np.testing.assert_allclose(logits_of(model, clip)[:5], published, rtol=0, atol=PUBLISHED_TO)


def test_the_public_autoencoder_gives_the_published_reconstruction_and_loss():
    from huggingface_hub import hf_hub_download

    model = vidjax.from_pretrained("MCG-NJU/videomae-base-short")
    file = hf_hub_download("hf-internal-testing/bool-masked-pos", "bool_masked_pos.pt")
    hidden = peers.torch.load(file, weights_only=True).numpy()
    visible, masked = np.flatnonzero(~hidden)[None], np.flatnonzero(hidden)[None]
    pixels = clip_of(spaghetti(), 224, 224).astype(np.float32) / 255
    apply = jax.jit(model.module.apply)
    found = apply({"params": model.params}, 2 * pixels - 1, visible, masked)["reconstruction"]
    published = [[0.7994, 0.9612, 0.8508], [0.7401, 0.8958, 0.8302], [0.5862, 0.7468, 0.7325]]
    np.testing.assert_allclose(found[0, :3, :3], published, rtol=0, atol=PUBLISHED_TO)
    patches = ops.patchify(pixels, model.spec.tubelet_size, model.spec.patch_size)
    target = ops.normalize_patches(ops.gather_tokens(patches, masked))
    assert np.mean(np.square(found - target)) == pytest.approx(0.5142, rel=0, abs=PUBLISHED_TO)
