"""A folder in the layout of the hub's cache, with random weights in the shapes and layouts of the public checkpoints.

    python tests/hub/fake_hub.py FOLDER [--tiny] [--only WORD]

    HF_HOME=FOLDER HF_HUB_OFFLINE=1 python tests/hub --published FOLDER/published.json

This tests `make test-hub` without a network: each checkpoint lies where its download would, and published.json has the
numbers that `transformers`, with its own preparation of videos, computes with these weights. --tiny has few and narrow
layers, for tests. The weights come from the modules and names of PyTorch and scenic; vidjax writes none of them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import download
import flax.serialization
import jax
import numpy as np
import peers
import safetensors.torch
import timesformer_torch
import torch
import transformers
import videomamba_torch
import vivit_torch
import vjepa2_peer
from checkpoints import CHECKPOINTS, Checkpoint
from torch import nn

import vidjax
from vidjax.models.param_paths import nest
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.models.videomamba import VideoMambaSpec
from vidjax.models.vivit import ViViTSpec
from vidjax.weights import hub, rules
from vidjax.weights.families.videoprism_flax import encoder_rules

REVISION = "0123456789abcdef0123456789abcdef01234567"
# The new names of VideoMAE's biases in transformers, and their names in the files on the hub.
OLD_NAMES = {"attention.query.bias": "attention.q_bias", "attention.value.bias": "attention.v_bias"}


class Maker:
    """Writes checkpoints of one size.

    Attributes:
      home: the folder.
      tiny: whether to make tiny models.
      published: published numbers found so far, by name.
    """

    def __init__(self, home: Path, tiny: bool):
        self.home, self.tiny, self.published = home, tiny, {}
        self.side, self.width, self.depth = (32, 128, 2) if tiny else (224, 768, 12)
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (32, 6, 8, 3), np.uint8)
        self.video = (
            np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))
            if tiny
            else np.kron(coarse, np.ones((1, 60, 60, 1), np.uint8))
        )
        folder = self._repository("hf-internal-testing/spaghetti-video", "datasets")
        np.save(folder / "eating_spaghetti.npy", self.video[:16])
        np.save(folder / "eating_spaghetti_32_frames.npy", self.video)

    def make(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, and compute its published numbers if it has any."""
        torch.manual_seed(0)
        makers: dict[str, Callable[[Checkpoint], None]] = {
            "VideoMAE, transformers": self._videomae, "VideoMAE, official": self._official_videomae,
            "TimeSformer, transformers": self._timesformer, "TimeSformer, official": self._official_timesformer,
            "SVT, official": self._official_timesformer, "image ViT, transformers": self._vit,
            "image ViT, timm": self._timm, "ViViT, transformers": self._vivit, "ViViT, scenic": self._scenic,
            "VideoMamba, official": self._videomamba, "VideoMamba, images": self._videomamba,
            "VideoMamba, masked pre-training": self._videomamba, "V-JEPA 2, transformers": self._vjepa2,
            "V-JEPA 2, official": self._official_vjepa2, "CLIP with texts, transformers": self._clip,
            "VideoPrism, official": self._videoprism, "CLIP, OpenAI": self._openai, "GPT-2, transformers": self._gpt2,
        }  # fmt: skip
        makers[checkpoint.layout](checkpoint)

    def _sizes(self, **others: Any) -> dict[str, Any]:
        heads, mlp = self.width // 64, 4 * self.width
        return {
            "hidden_size": self.width, "num_hidden_layers": self.depth, "num_attention_heads": heads,
            "intermediate_size": mlp, "image_size": self.side, **others,
        }  # fmt: skip

    def _videomae(self, checkpoint: Checkpoint) -> None:
        decoder = {"decoder_hidden_size": 64, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 1}
        sizes = self._sizes(**decoder if self.tiny else {})
        if "finetuned" in checkpoint.name:
            config = transformers.VideoMAEConfig(**sizes, num_labels=400)
            model = tame(transformers.VideoMAEForVideoClassification(config))
        else:
            config = transformers.VideoMAEConfig(**sizes, use_mean_pooling=False)
            model = tame(transformers.VideoMAEForPreTraining(config))
        folder = self._folder(checkpoint)
        model.save_pretrained(folder)
        file = folder / "model.safetensors"
        state = safetensors.torch.load_file(file)
        for new, old in OLD_NAMES.items():
            state = {key.replace(new, old): value for key, value in state.items()}
        state = {key: value for key, value in state.items() if "attention.key.bias" not in key}
        safetensors.torch.save_file(state, file, metadata={"format": "pt"})
        frames = self._frames(transformers.VideoMAEImageProcessor, 16, self.side)
        if "finetuned" in checkpoint.name:
            self._logits(checkpoint, model(frames).logits)
            return
        tokens = 8 * (self.side // 16) ** 2
        mask = torch.from_numpy(np.random.default_rng(0).permutation(tokens) < 0.9 * tokens)[None]
        torch.save(mask, self._repository("hf-internal-testing/bool-masked-pos") / "bool_masked_pos.pt")
        out = model(frames, bool_masked_pos=mask)
        values = {"values": out.logits[0, :3, :3].tolist(), "loss": out.loss.item()}
        self.published[checkpoint.name] = values

    def _official_videomae(self, checkpoint: Checkpoint) -> None:
        """The width determines the heads, so the tiny model has the width of the small one."""
        width = 384 if self.tiny else self.width
        sizes = self._sizes(hidden_size=width, num_attention_heads=width // 64, num_labels=710)
        model = tame(transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(**sizes)))
        state = {key: value for key, value in peers.official(model).items() if "key.bias" not in key}
        if hub.FILE.match(checkpoint.source):
            torch.save({"module": state}, self._file(checkpoint))
            return
        state = {f"model.{key}": value.clone() for key, value in state.items() if not key.startswith("head.")}
        folder = self._folder(checkpoint)
        safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        config = {"model_type": "VideoMAEv2_Base", "model_config": {"img_size": self.side, "num_frames": 16}}
        if self.tiny:
            config |= {"image_size": self.side}
        (folder / "config.json").write_text(json.dumps(config))

    def _timesformer(self, checkpoint: Checkpoint) -> None:
        config = transformers.TimesformerConfig(**self._sizes(num_frames=8, num_labels=400))
        model = tame(transformers.TimesformerForVideoClassification(config))
        model.save_pretrained(self._folder(checkpoint))
        frames = self._frames(transformers.VideoMAEImageProcessor, 8, self.side)
        self._logits(checkpoint, model(frames).logits)

    def _official_timesformer(self, checkpoint: Checkpoint) -> None:
        spec = TimeSformerSpec(
            self.width, self.depth, self.width // 64, 4 * self.width, patch_size=16, num_frames=8, image_size=self.side
        )
        state = tamed(timesformer_torch.random_state(spec, 400))
        if checkpoint.layout.startswith("SVT"):
            state = {f"backbone.{key}": value for key, value in state.items() if not key.startswith("head.")}
            state |= {"head.last_layer.weight_v": torch.randn(64, 16), "head.last_layer.weight_g": torch.ones(64, 1)}
            torch.save({"teacher": state, "student": state, "epoch": 20}, self._file(checkpoint))
            return
        torch.save({"model_state": {f"model.{key}": value for key, value in state.items()}}, self._file(checkpoint))
        frames = self._frames(transformers.VideoMAEImageProcessor, 8, self.side)
        self._logits(checkpoint, timesformer_torch.logits(state, spec, frames.permute(0, 1, 3, 4, 2)))

    def _vit(self, checkpoint: Checkpoint) -> None:
        tame(transformers.ViTModel(transformers.ViTConfig(**self._sizes()))).save_pretrained(self._folder(checkpoint))

    def _timm(self, checkpoint: Checkpoint) -> None:
        spec = TimeSformerSpec(
            self.width, self.depth, self.width // 64, 4 * self.width, "space_only", patch_size=16, num_frames=1,
            image_size=self.side,
        )  # fmt: skip
        folder, state = self._folder(checkpoint), tamed(timesformer_torch.random_state(spec, 1000))
        safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps({"architecture": "vit_base_patch16_224", "num_classes": 21843}))

    def _vivit(self, checkpoint: Checkpoint) -> None:
        model = tame(
            transformers.VivitForVideoClassification(
                transformers.VivitConfig(**self._sizes(num_frames=32, num_labels=400, attn_implementation="sdpa"))
            )
        )
        model.save_pretrained(self._folder(checkpoint))
        self._logits(checkpoint, model(self._vivit_frames()).logits, resized=self._resized)

    def _scenic(self, checkpoint: Checkpoint) -> None:
        large = "large" in checkpoint.source
        width, depth = (1024, 24) if large and not self.tiny else (self.width, self.depth)
        kind = "encoder" if checkpoint.source.endswith("fe/checkpoint") else "joint"
        spec = ViViTSpec(
            width, depth, width // 64, 4 * width, kind, 4 if kind == "encoder" else 0, patch_size=16, num_frames=32,
            image_size=self.side,
        )  # fmt: skip
        tree = vivit_torch.scenic_state(spec, 400)
        state = tamed({key: torch.from_numpy(value) for key, value in vivit_torch.flat(tree).items()})
        whole = {"optimizer": {"target": nest({key: value.numpy() for key, value in state.items()})}}
        self._file(checkpoint).write_bytes(flax.serialization.msgpack_serialize(whole))
        if checkpoint.published:
            frames = self._vivit_frames().permute(0, 1, 3, 4, 2)
            self._logits(checkpoint, vivit_torch.classify(state, frames, kind), resized=self._resized)

    def _videomamba(self, checkpoint: Checkpoint) -> None:
        middle = "m16" in checkpoint.source
        width, depth = (64, 2) if self.tiny else (576, 32) if middle else (192, 24)
        images, masked = checkpoint.layout.endswith("images"), checkpoint.layout.endswith("pre-training")
        frames = 1 if images else 8
        spec = VideoMambaSpec(width, depth, patch_size=16, num_frames=frames, image_size=self.side, tubelet_size=1)
        model = tame(videomamba_torch.VideoMamba(spec, 0 if masked else 1000 if images else 400, image_model=images))
        state = dict(model.state_dict())
        if masked:
            state = {re.sub(r"^norm_f\.", "norm.", key): value for key, value in state.items()}
            state |= {"clip_decoder.0.head.weight": torch.randn(8, width), "clip_pos_embed": torch.zeros(1, 8, width)}
        torch.save({"model": state}, self._file(checkpoint))

    def _vjepa2_config(self, **others: Any) -> transformers.VJEPA2Config:
        predictor = {"pred_hidden_size": 64, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
        return transformers.VJEPA2Config(
            hidden_size=self.width, num_hidden_layers=self.depth, num_attention_heads=self.width // 64,
            crop_size=self.side, frames_per_clip=16, **predictor if self.tiny else {}, **others,
        )  # fmt: skip

    def _vjepa2(self, checkpoint: Checkpoint) -> None:
        if "ssv2" in checkpoint.name:
            model = transformers.VJEPA2ForVideoClassification(self._vjepa2_config(num_labels=174))
        else:
            model = transformers.VJEPA2Model(self._vjepa2_config())
        tame(model).save_pretrained(self._folder(checkpoint))

    def _official_vjepa2(self, checkpoint: Checkpoint) -> None:
        """Widths that are not published need a config.json beside the file."""
        config = self._vjepa2_config()
        path = self._file(checkpoint)
        torch.save(vjepa2_peer.authors_file(tame(transformers.VJEPA2Model(config))), path)
        names = ("num_attention_heads", "pred_num_attention_heads", "crop_size", "frames_per_clip")
        said = {name: getattr(config, name) for name in names}
        path.with_name("config.json").write_text(json.dumps(said))

    def _clip(self, checkpoint: Checkpoint) -> None:
        vision, width = self._sizes(patch_size=16), 64 if self.tiny else 512
        text = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64}
        text |= {"num_hidden_layers": self.depth, "vocab_size": 300}
        config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=512)
        tame(transformers.CLIPModel(config)).save_pretrained(self._folder(checkpoint))

    def _videoprism(self, checkpoint: Checkpoint) -> None:
        size = "tiny" if self.tiny else "base"
        module = vidjax.build_model(f"videoprism_{size}", num_classes=0)
        params = module.init(jax.random.key(0), np.zeros((1, *module.spec.clip_shape), np.float32))["params"]
        np.savez(self._file(checkpoint), **rules.write(encoder_rules("params/"), params))

    def _clip_tower(self, patch: int) -> nn.Module:
        config = transformers.CLIPVisionConfig(**self._sizes(patch_size=patch, projection_dim=512))
        return tame(transformers.CLIPVisionModelWithProjection(config))

    def _openai(self, checkpoint: Checkpoint) -> None:
        """A TorchScript archive, written where its download would lie; its address holds the checksum of another."""
        state, found = self._clip_tower(32 if not self.tiny else 16).state_dict(), {}
        named = {key.removeprefix("vision_model."): value for key, value in state.items()}
        found["proj"] = named.pop("visual_projection.weight").T.contiguous()
        for key in [key for key in named if ".q_proj." in key]:
            fused = torch.cat([named.pop(key.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"])
            named[re.sub(r"q_proj\.(\w+)", r"in_proj_\1", key)] = fused
        for key, value in named.items():
            for theirs, ours in _OPENAI_NAMES:
                key = re.sub(theirs, ours, key)
            found[key] = value
        holder = _holding({f"visual.{key}": value for key, value in found.items()})
        torch.jit.save(torch.jit.script(holder), self._file(checkpoint))

    def _gpt2(self, checkpoint: Checkpoint) -> None:
        sizes = {"n_embd": 64, "n_layer": 2, "n_head": 1, "vocab_size": 4000} if self.tiny else {}
        config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
        model = tame(transformers.GPT2LMHeadModel(config), 0.2)
        model.save_pretrained(self._folder(checkpoint))
        tokens = model.generate(torch.tensor([[464, 3290]]), do_sample=False, max_length=20, min_length=20)
        self.published[checkpoint.name] = {"values": tokens[0].tolist()}

    @property
    def _resized(self) -> int:
        return self.side + self.side // 7

    def _vivit_frames(self) -> torch.Tensor:
        processor = transformers.VivitImageProcessor(
            do_normalize=False,  # pixels are already in [-1, 1], see checkpoints.py
            size={"shortest_edge": self._resized},
            crop_size={"height": self.side, "width": self.side},
        )
        return processor(list(self.video), return_tensors="pt")["pixel_values"]

    def _frames(self, kind: Any, count: int, side: int) -> torch.Tensor:
        processor = kind(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side},
            image_mean=[0.5] * 3, image_std=[0.5] * 3,
        )  # fmt: skip
        return processor(list(self.video[:count]), return_tensors="pt")["pixel_values"]

    def _logits(self, checkpoint: Checkpoint, logits: torch.Tensor, **others: Any) -> None:
        self.published[checkpoint.name] = {"values": logits[0, :3].tolist()} | others

    def _repository(self, name: str, kind: str = "models") -> Path:
        """The only snapshot of a repository in the cache."""
        place = self.home / "hub" / f"{kind}--{name.replace('/', '--')}"
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / "main").write_text(REVISION)
        (place / "snapshots" / REVISION).mkdir(parents=True, exist_ok=True)
        return place / "snapshots" / REVISION

    def _folder(self, checkpoint: Checkpoint) -> Path:
        return self._repository(checkpoint.source)

    def _file(self, checkpoint: Checkpoint) -> Path:
        if checkpoint.source.startswith("https://"):
            path = download.place_of(checkpoint.source, self.home)
        else:
            found = hub.FILE.match(checkpoint.source)
            path = self._repository(found[1]) / found[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


_OPENAI_NAMES = (
    (r"^embeddings\.patch_embedding", "conv1"),
    (r"^embeddings\.class_embedding", "class_embedding"),
    (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^pre_layrnorm", "ln_pre"),
    (r"^post_layernorm", "ln_post"),
    (r"^encoder\.layers", "transformer.resblocks"),
    (r"\.self_attn\.", ".attn."),
    (r"\.layer_norm", ".ln_"),
    (r"\.fc1\.", ".c_fc."),
    (r"\.fc2\.", ".c_proj."),
)
_SCALES = re.compile(r"(norm|norm1|norm2|layernorm\w*|layer_norm\d|layrnorm|norm_f|ln_\w+)\.weight$|\.D(_b)?$")


def tame(model: nn.Module, std: float = 0.02) -> nn.Module:
    """Make every parameter random and non-zero, with scales of norms near one, as in trained models."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("A_log") or name.endswith("A_b_log"):
                continue
            one = float(bool(_SCALES.search(name)))
            parameter.normal_(one, 0.1 if one else std if parameter.ndim < 2 else parameter[0].numel() ** -0.5)
    return model.eval()


def tamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rescale random arrays of deviation 0.2, which tests make for narrow models, to the scale of wide models."""
    found = {}
    for key, value in state.items():
        found[key] = value = value.detach().float()
        if key.endswith(("query/kernel", "key/kernel", "value/kernel")):
            found[key] = value * (5 * value.shape[0] ** -0.5)
        elif key.endswith("kernel"):
            found[key] = value * (5 * value[..., 0].numel() ** -0.5)
        elif key.endswith("weight") and value.ndim > 1:
            found[key] = value * (5 * value[0].numel() ** -0.5)
    return found


def _holding(state: Mapping[str, torch.Tensor]) -> nn.Module:
    """A module that holds these arrays under these names."""
    root = nn.Sequential()
    for key, value in state.items():
        *path, name = key.split(".")
        module = root
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Sequential())
            module = getattr(module, part)
        module.register_parameter(name, nn.Parameter(value))
    return root


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    maker = Maker(arguments.folder, arguments.tiny)
    for checkpoint in CHECKPOINTS:
        if not checkpoint.large and arguments.only.lower() in checkpoint.name.lower():
            with torch.inference_mode():
                maker.make(checkpoint)
            print(checkpoint.name, flush=True)
    (arguments.folder / "published.json").write_text(json.dumps(maker.published))


if __name__ == "__main__":
    main()
