"""The public checkpoints that `make test-hub` downloads, one of every layout that vidjax reads, and known outputs.

The published numbers come from the integration tests and conversion scripts of `transformers`, for a video of eating
spaghetti whose frames were resized by Pillow; pixels are in [-1, 1], however the model was trained. Files:
tests/models/videomae/test_modeling_videomae.py and tests/models/timesformer/test_modeling_timesformer.py at 040e1a7,
tests/models/vivit/test_modeling_vivit.py at 05920b0, tests/models/gpt2/test_modeling_gpt2.py at 031e0ac, and
src/transformers/models/{videomae,timesformer}/convert_*_to_pytorch.py at 01080c6. Numbers of models that differ from
the published ones are left out: VideoMAE's small models (with 16 heads instead of the authors' 6), and TimeSformer-HR
(on clips of 8 frames of 224 pixels). ViViT's numbers are those of the original (convert_vivit_flax_to_pytorch.py at
00ca929, which asserts do_normalize=False); the processor's default normalises twice since pull request 25174.
"""

from __future__ import annotations

import dataclasses

VIDEOMAE = "transformers, test_modeling_videomae.py"
VIDEOMAE_CONVERTER = "transformers, convert_videomae_to_pytorch.py"
TIMESFORMER = "transformers, test_modeling_timesformer.py"
TIMESFORMER_CONVERTER = "transformers, convert_timesformer_to_pytorch.py"
VIVIT = "transformers, test_modeling_vivit.py"
GPT2 = "transformers, test_modeling_gpt2.py"

_DROPBOX = "https://www.dropbox.com/s"  # links of facebookresearch/TimeSformer, README.md
_SCENIC = "https://storage.googleapis.com/scenic-bucket/vivit"  # of google-research/scenic, projects/vivit/README.md
_VJEPA2 = "https://dl.fbaipublicfiles.com/vjepa2"  # links of facebookresearch/vjepa2, README.md
_OPENAI = "https://openaipublic.azureedge.net/clip/models"  # of openai/CLIP, clip/clip.py; the folder is the SHA-256


@dataclasses.dataclass(frozen=True)
class Published:
    """Published numbers of a checkpoint's outputs.

    Attributes:
      output: "logits", the first logits; "reconstruction", the first entries of the first rows; "tokens", the result of
        greedy decoding.
      values: the numbers; for tokens the whole sequence, whose first two are the prompt.
      where: where they are published.
      resized: the short side of the frames before the crop; 0 for that of the model.
      loss: the loss of the reconstruction, with normalised patches; 0 if none is published.
    """

    output: str
    values: tuple
    where: str
    resized: int = 0
    loss: float = 0.0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint to fetch and to compare.

    Attributes:
      source: a hub id, a file on the hub (owner/name/file.pth), or the address of the authors' file.
      layout: the layout that it should be recognised as, a name from `vidjax.weights.checkpoint_layouts`.
      reference: what all of its outputs are compared with, a key of `references.REFERENCES`; empty for nothing.
      published: published numbers, or None.
      large: only fetched with --large: too large for a laptop, or another example of a layout.
    """

    source: str
    layout: str
    reference: str
    published: Published | None = None
    large: bool = False

    @property
    def name(self) -> str:
        """The hub id or file; for an address the file's name, with two folders if it has no suffix."""
        if not self.source.startswith("https://"):
            return self.source
        parts = self.source.partition("?")[0].split("/")
        return parts[-1] if "." in parts[-1] else "/".join(parts[-3:])


def _logits(*values: float, where: str, resized: int = 0) -> Published:
    return Published("logits", values, where, resized)


_TIMESFORMER_K400 = (-0.3016, -0.7713, -0.4205)
_VIVIT_K400 = (-1.0543, 2.0764, -0.2104, 0.4439, -0.9658)

# Layouts of files that only users write: OpenAI publishes CLIP whole, and VideoPrism's authors their own files.
UNPUBLISHED = {"CLIP, transformers", "VideoPrism, transformers", "VideoPrism with texts, transformers"}

CHECKPOINTS = (
    Checkpoint(
        "MCG-NJU/videomae-base-finetuned-kinetics", "VideoMAE, transformers", "transformers",
        _logits(0.3669, -0.0688, -0.2421, where=VIDEOMAE),
    ),
    Checkpoint(
        "MCG-NJU/videomae-base-short", "VideoMAE, transformers", "transformers, pre-training",
        Published(
            "reconstruction", ((0.7994, 0.9612, 0.8508), (0.7401, 0.8958, 0.8302), (0.5862, 0.7468, 0.7325)), VIDEOMAE,
            loss=0.5142,
        ),
    ),
    Checkpoint("OpenGVLab/VideoMAE2/distill/vit_b_k710_dl_from_giant.pth", "VideoMAE, official", "VideoMAE"),
    Checkpoint("OpenGVLab/VideoMAEv2-Base", "VideoMAE, official", "VideoMAE"),
    Checkpoint(
        "facebook/timesformer-base-finetuned-k400", "TimeSformer, transformers", "transformers",
        _logits(*_TIMESFORMER_K400, where=TIMESFORMER),
    ),
    Checkpoint(
        f"{_DROPBOX}/g5t24we9gl5yk88/TimeSformer_divST_8x32_224_K400.pyth?dl=1", "TimeSformer, official", "TimeSformer",
        _logits(*_TIMESFORMER_K400, where=TIMESFORMER_CONVERTER),
    ),
    Checkpoint(
        "https://github.com/kahnchana/svt/releases/download/v1.0/kinetics400_vitb_ssl.pth", "SVT, official",
        "TimeSformer",
    ),
    Checkpoint("google/vit-base-patch16-224-in21k", "image ViT, transformers", "image ViT of transformers"),
    Checkpoint("timm/vit_base_patch16_224.augreg_in21k", "image ViT, timm", "image ViT"),
    Checkpoint(
        "google/vivit-b-16x2-kinetics400", "ViViT, transformers", "transformers",
        _logits(*_VIVIT_K400, where=VIVIT, resized=256),
    ),
    Checkpoint(
        f"{_SCENIC}/kinetics_400/vivit_base_16x2_unfactorized/checkpoint", "ViViT, scenic", "ViViT",
        _logits(*_VIVIT_K400, where=VIVIT, resized=256),
    ),
    Checkpoint(f"{_SCENIC}/kinetics_400/vivit_base_16x2_fe/checkpoint", "ViViT, scenic", "ViViT"),
    Checkpoint("OpenGVLab/VideoMamba/videomamba_t16_k400_f8_res224.pth", "VideoMamba, official", "VideoMamba"),
    Checkpoint("OpenGVLab/VideoMamba/videomamba_t16_in1k_res224.pth", "VideoMamba, images", "VideoMamba"),
    Checkpoint(
        "OpenGVLab/VideoMamba/videomamba_m16_k400_mask_pt_f8_res224.pth", "VideoMamba, masked pre-training",
        "VideoMamba",
    ),
    Checkpoint("facebook/vjepa2-vitl-fpc64-256", "V-JEPA 2, transformers", "V-JEPA 2 of transformers"),
    Checkpoint("facebook/vjepa2-vitl-fpc16-256-ssv2", "V-JEPA 2, transformers", "V-JEPA 2 of transformers"),
    Checkpoint(f"{_VJEPA2}/vitl.pt", "V-JEPA 2, official", "V-JEPA 2"),
    Checkpoint("openai/clip-vit-base-patch16", "CLIP with texts, transformers", "CLIP of transformers"),
    Checkpoint("google/videoprism-base-f16r288/flax_base_f16r288_repeated.npz", "VideoPrism, official", ""),
    Checkpoint(
        f"{_OPENAI}/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt", "CLIP, OpenAI",
        "CLIP of OpenAI",
    ),
    Checkpoint(
        "openai-community/gpt2", "GPT-2, transformers", "GPT-2 of transformers",
        Published(
            "tokens",
            (464, 3290, 373, 1043, 287, 257, 2214, 1474, 262, 16246, 286, 2688, 290, 2688, 27262, 13, 198, 198, 464,
             3290),
            GPT2,
        ),
    ),
    Checkpoint(
        "MCG-NJU/videomae-base-short-finetuned-kinetics", "VideoMAE, transformers", "transformers",
        _logits(0.6588, 0.0990, -0.2493, where=VIDEOMAE_CONVERTER), large=True,
    ),
    Checkpoint(
        "MCG-NJU/videomae-base-finetuned-ssv2", "VideoMAE, transformers", "transformers",
        _logits(0.1961, -0.8337, -0.6389, where=VIDEOMAE_CONVERTER), large=True,
    ),
    Checkpoint(
        "MCG-NJU/videomae-large-finetuned-kinetics", "VideoMAE, transformers", "transformers",
        _logits(0.0771, 0.0011, -0.3625, where=VIDEOMAE_CONVERTER), large=True,
    ),
    Checkpoint(
        "MCG-NJU/videomae-huge-finetuned-kinetics", "VideoMAE, transformers", "transformers",
        _logits(0.2433, 0.1632, -0.4894, where=VIDEOMAE_CONVERTER), large=True,
    ),
    Checkpoint(
        "facebook/timesformer-base-finetuned-k600", "TimeSformer, transformers", "transformers",
        _logits(-0.7267, -0.7466, 3.2404, where=TIMESFORMER_CONVERTER), large=True,
    ),
    Checkpoint(
        "facebook/timesformer-base-finetuned-ssv2", "TimeSformer, transformers", "transformers",
        _logits(-0.9059, 0.6433, -3.1457, where=TIMESFORMER_CONVERTER), large=True,
    ),
    Checkpoint("facebook/timesformer-hr-finetuned-k400", "TimeSformer, transformers", "transformers", large=True),
    Checkpoint(f"{_SCENIC}/kinetics_400/vivit_large_16x2_fe/checkpoint", "ViViT, scenic", "ViViT", large=True),
    Checkpoint("facebook/vjepa2-vith-fpc64-256", "V-JEPA 2, transformers", "V-JEPA 2 of transformers", large=True),
    Checkpoint("facebook/vjepa2-vitg-fpc64-256", "V-JEPA 2, transformers", "V-JEPA 2 of transformers", large=True),
    Checkpoint("facebook/vjepa2-vitg-fpc64-384", "V-JEPA 2, transformers", "V-JEPA 2 of transformers", large=True),
    Checkpoint(
        "facebook/vjepa2-vitl-fpc32-256-diving48", "V-JEPA 2, transformers", "V-JEPA 2 of transformers", large=True
    ),
    Checkpoint("facebook/vjepa2-vitg-fpc64-384-ssv2", "V-JEPA 2, transformers", "V-JEPA 2 of transformers", large=True),
    Checkpoint(f"{_VJEPA2}/vith.pt", "V-JEPA 2, official", "V-JEPA 2", large=True),
    Checkpoint(f"{_VJEPA2}/vitg.pt", "V-JEPA 2, official", "V-JEPA 2", large=True),
    Checkpoint(f"{_VJEPA2}/vitg-384.pt", "V-JEPA 2, official", "V-JEPA 2", large=True),
    Checkpoint("openai/clip-vit-large-patch14", "CLIP with texts, transformers", "CLIP of transformers", large=True),
)  # fmt: skip
