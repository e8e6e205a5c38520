"""The outputs of public checkpoints, computed by `transformers` or by an independent PyTorch version of the model.

Each function takes a `Subject` and returns the outputs for one clip, under the names of vidjax's modules. The PyTorch
versions are those of the tests (tests/helpers) and use the authors' keys; only vidjax's reader of files is shared.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import timesformer_torch
import torch
import transformers
import videomamba_torch
import vivit_torch
import vjepa2_peer

from vidjax.weights.checkpoint_contents import read_contents
from vidjax.weights.model import Pretrained

TO_TRANSFORMERS = (  # from the names of VideoMAE's authors
    (r"^patch_embed\.proj", "videomae.embeddings.patch_embeddings.projection"),
    (r"^blocks\.", "videomae.encoder.layer."),
    (r"^head\.", "classifier."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.q_bias", ".attention.attention.query.bias"),
    (r"\.attn\.v_bias", ".attention.attention.value.bias"),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
TO_VJEPA2 = (  # from the names of V-JEPA 2's authors to those of transformers
    (r"^encoder/patch_embed\.", "encoder.embeddings.patch_embeddings."),
    (r"^encoder/blocks\.", "encoder.layer."),
    (r"^encoder/norm\.", "encoder.layernorm."),
    (r"^predictor/predictor_embed\.", "predictor.embeddings.predictor_embeddings."),
    (r"^predictor/predictor_blocks\.", "predictor.layer."),
    (r"^predictor/predictor_norm\.", "predictor.layernorm."),
    (r"^predictor/predictor_proj\.", "predictor.proj."),
    (r"\.attn\.", ".attention."),
)
FROM_OPENAI = (
    (r"^conv1\.", "embeddings.patch_embedding."),
    (r"^class_embedding", "embeddings.class_embedding"),
    (r"^positional_embedding", "embeddings.position_embedding.weight"),
    (r"^ln_pre\.", "pre_layrnorm."),
    (r"^ln_post\.", "post_layernorm."),
    (r"^transformer\.resblocks\.", "encoder.layers."),
    (r"\.attn\.", ".self_attn."),
    (r"\.ln_", ".layer_norm"),
    (r"\.c_fc\.", ".fc1."),
    (r"\.c_proj\.", ".fc2."),
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """The model and clip to compute outputs for.

    Attributes:
      path: path of the file or folder.
      model: the model read by vidjax, for its sizes and normalisation.
      clip: uint8 (t h w 3) of the model's size; tokens for a language model.
      masked: (n,) which tokens are hidden in pre-training.
    """

    path: Path
    model: Pretrained
    clip: np.ndarray
    masked: np.ndarray | None = None

    @property
    def pixels(self) -> torch.Tensor:
        """The normalised clip (1 t h w 3)."""
        mean, std = (np.asarray(values, np.float32) for values in (self.model.mean, self.model.std))
        clip = self.clip[..., ::-1] if self.model.clips.channels == "bgr" else self.clip
        return torch.from_numpy((clip[None] / np.float32(255) - mean) / std)

    @property
    def frames(self) -> torch.Tensor:
        """The normalised clip in the layout of `transformers` (1 t 3 h w)."""
        return self.pixels.permute(0, 1, 4, 2, 3)

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """The arrays of the file, by key."""
        return {key: torch.from_numpy(np.array(value)) for key, value in read_contents(self.path).state.items()}


def of_transformers(subject: Subject) -> dict:
    """A classifier of videos."""
    model = transformers.AutoModelForVideoClassification.from_pretrained(subject.path, local_files_only=True)
    return {"logits": model.eval()(pixel_values=subject.frames).logits}


def of_transformers_pretraining(subject: Subject) -> dict:
    """VideoMAE with its decoder."""
    model = transformers.VideoMAEForPreTraining.from_pretrained(subject.path, local_files_only=True)
    masked = torch.from_numpy(subject.masked)[None]
    return {"reconstruction": model.eval()(subject.frames, bool_masked_pos=masked).logits}


def of_videomae(subject: Subject) -> dict:
    """The authors' VideoMAE, under the names of `transformers`: logits, or the normed mean of its tokens."""
    spec, state = subject.model.spec, subject.state
    state = {key.removeprefix("model."): value for key, value in state.items()}
    for key in [key for key in state if key.endswith("attn.qkv.weight")]:
        parts = zip(("query", "key", "value"), state.pop(key).chunk(3), strict=True)
        state |= {key.replace("attn.qkv", f"attention.attention.{part}"): value for part, value in parts}
    for pattern, name in TO_TRANSFORMERS:
        state = {re.sub(pattern, name, key): value for key, value in state.items()}
    config = transformers.VideoMAEConfig(
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, patch_size=spec.patch_size, tubelet_size=spec.tubelet_size,
        num_frames=spec.num_frames, image_size=spec.image_size, num_labels=subject.model.num_classes or 1,
    )  # fmt: skip
    model = transformers.VideoMAEForVideoClassification(config).eval()
    wanted = model.state_dict()
    for key in wanted.keys() - state.keys():  # keys have no biases in the authors' model
        state[key] = torch.zeros_like(wanted[key])
    model.load_state_dict(state)
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    if subject.model.num_classes:
        return {"logits": model(subject.frames).logits}
    model.classifier = torch.nn.Identity()
    return {"pooled": model(subject.frames).logits}


def of_timesformer(subject: Subject) -> dict:
    """The authors' TimeSformer and SVT: logits, or the class token without a head."""
    state = {key.removeprefix("model."): value for key, value in subject.state.items()}
    return _timesformer(state, subject.model.spec, subject)


def of_image_vit(subject: Subject) -> dict:
    """timm's ViT on the first frame: the output for a still clip of a TimeSformer initialised from it."""
    spec = dataclasses.replace(subject.model.spec, attention_type="space_only", num_frames=1)
    return _timesformer(subject.state, spec, subject, frames=1)


def of_transformers_vit(subject: Subject) -> dict:
    """As `of_image_vit`, for a ViT of `transformers`."""
    model = transformers.ViTModel.from_pretrained(subject.path, add_pooling_layer=False, local_files_only=True)
    return {"pooled": model.eval()(subject.frames[:, 0]).last_hidden_state[:, 0]}


def of_vivit(subject: Subject) -> dict:
    """Any of scenic's four models."""
    return {"logits": vivit_torch.classify(subject.state, subject.pixels, subject.model.spec.factorization)}


def of_videomamba(subject: Subject) -> dict:
    """The authors' VideoMamba: logits, or the class token without a head."""
    spec, classes = subject.model.spec, subject.model.num_classes
    state = {key: value for key, value in subject.state.items() if not key.startswith("clip_")}
    state = {re.sub(r"^norm\.", "norm_f.", key): value for key, value in state.items()}
    model = videomamba_torch.VideoMamba(spec, classes, image_model="temporal_pos_embedding" not in state)
    model.load_state_dict(state)
    return {"logits" if classes else "pooled": model(subject.frames.transpose(1, 2))}


def of_transformers_vjepa2(subject: Subject) -> dict:
    """A classifier's logits, or the features that the predictor expects of masked cubes."""
    options = {"local_files_only": True, "attn_implementation": "sdpa"}
    if subject.model.num_classes:
        model = transformers.VJEPA2ForVideoClassification.from_pretrained(subject.path, **options)
        return {"logits": model.eval()(subject.frames).logits}
    return _predicted(transformers.VJEPA2Model.from_pretrained(subject.path, **options), subject)


def of_vjepa2(subject: Subject) -> dict:
    """The authors' encoder and predictor, under the names of `transformers`."""
    state = {key: value for key, value in subject.state.items() if not key.startswith("target_encoder/")}
    numbered = [state.pop(f"predictor/mask_tokens.{n}") for n in range(subject.model.spec.num_mask_tokens)]
    found = {"predictor.embeddings.mask_tokens": torch.stack(numbered)}
    for key, value in state.items():
        if key.endswith("pos_embed"):
            continue
        for pattern, name in TO_VJEPA2:
            key = re.sub(pattern, name, key)
        parts = ("query", "key", "value") if ".qkv." in key else ("",)
        for part, array in zip(parts, value.chunk(len(parts)), strict=True):
            found[key.replace("qkv", part) if part else key] = array
    model = transformers.VJEPA2Model(vjepa2_peer.config_of(subject.model.spec, "sdpa"))
    model.load_state_dict(found)
    return _predicted(model, subject)


def _predicted(model: transformers.VJEPA2Model, subject: Subject) -> dict:
    visible, masked = np.flatnonzero(~subject.masked)[None], np.flatnonzero(subject.masked)[None]
    tokens = vjepa2_peer.encode(model.eval(), subject.pixels, visible)
    return {"predicted": vjepa2_peer.predict(model, tokens, visible, masked)}


def of_transformers_clip(subject: Subject) -> dict:
    """The mean over frames of the features in the space shared by images and texts."""
    model = transformers.CLIPVisionModelWithProjection.from_pretrained(subject.path, local_files_only=True)
    return {"projected": model.eval()(subject.frames[0]).image_embeds.mean(0, keepdim=True)}


def of_openai_clip(subject: Subject) -> dict:
    """As `of_transformers_clip`, for OpenAI's tower, under the names of `transformers`."""
    spec, state = subject.model.spec, {key.removeprefix("visual."): value for key, value in subject.state.items()}
    renamed = {"visual_projection.weight": state.pop("proj").T}
    for key, value in state.items():
        parts = zip("qkv", value.chunk(3), strict=True) if "in_proj" in key else (("", value),)
        for part, array in parts:
            name = re.sub(r"in_proj_(\w+)", rf"{part}_proj.\1", key)
            for pattern, theirs in FROM_OPENAI:
                name = re.sub(pattern, theirs, name)
            renamed[f"vision_model.{name}"] = array
    config = transformers.CLIPVisionConfig(
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, patch_size=spec.patch_size, image_size=spec.image_size,
        projection_dim=spec.projection,
    )  # fmt: skip
    model = transformers.CLIPVisionModelWithProjection(config).eval()
    missing, unused = model.load_state_dict(renamed, strict=False)
    if unused or any("position_ids" not in key for key in missing):
        raise ValueError(f"OpenAI's keys leave {missing} open, and {unused} over")
    return {"projected": model(subject.frames[0]).image_embeds.mean(0, keepdim=True)}


def of_transformers_gpt2(subject: Subject) -> dict:
    """The logits of the next token at each position."""
    model = transformers.GPT2LMHeadModel.from_pretrained(subject.path, local_files_only=True)
    return {"logits": model.eval()(torch.from_numpy(subject.clip)[None]).logits}


def _timesformer(state: dict, spec, subject: Subject, frames: int | None = None) -> dict:
    name = "logits"
    if not subject.model.num_classes:
        name, state = "pooled", state | {"head.weight": torch.eye(spec.width), "head.bias": torch.zeros(spec.width)}
    return {name: timesformer_torch.logits(state, spec, subject.pixels[:, :frames])}


REFERENCES = {
    "transformers": of_transformers,
    "transformers, pre-training": of_transformers_pretraining,
    "VideoMAE": of_videomae,
    "TimeSformer": of_timesformer,
    "image ViT": of_image_vit,
    "image ViT of transformers": of_transformers_vit,
    "ViViT": of_vivit,
    "VideoMamba": of_videomamba,
    "V-JEPA 2 of transformers": of_transformers_vjepa2,
    "V-JEPA 2": of_vjepa2,
    "CLIP of transformers": of_transformers_clip,
    "CLIP of OpenAI": of_openai_clip,
    "GPT-2 of transformers": of_transformers_gpt2,
}
