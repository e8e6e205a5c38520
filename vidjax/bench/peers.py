"""Other software that does the same work, if installed: transformers, PyTorch, mamba-ssm.

Models are called as their users would call them: under autocast, with PyTorch's own attention where transformers has
it and, on a GPU, with and without torch.compile; their training step has the fused AdamW there. PyTorch can use all
threads that the process may use.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from vidjax import ops
from vidjax.bench.race import Run
from vidjax.bench.settings import NUM_CLASSES, Settings, compute_dtype
from vidjax.config import IMAGENET_MEAN, IMAGENET_STD
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.models.videomae import VIDEOMAE_SPECS, VideoMAESpec
from vidjax.models.vivit import ViViTSpec

if TYPE_CHECKING:
    import torch
    import transformers


def installed(*names: str) -> bool:
    """Return whether all packages can be imported."""
    return all(importlib.util.find_spec(name) for name in names)


def videomae(
    spec: VideoMAESpec, batch: int, dtype: str, mask_ratio: float, settings: Settings
) -> dict[str, dict[str, Run]]:
    """Return `forward` and `step` of VideoMAEForPreTraining by contender; empty if a package is missing."""
    if not installed("torch", "transformers"):
        settings.remark("transformers and PyTorch are not both installed: the step is not compared")
        return {}
    import torch

    contenders = {"transformers": _videomae(spec, batch, dtype, mask_ratio, lambda model: model)}
    if _is_compiled_too(settings):
        contenders["transformers + torch.compile"] = _videomae(spec, batch, dtype, mask_ratio, torch.compile)
    return contenders


def _videomae(spec: VideoMAESpec, batch: int, dtype: str, mask_ratio: float, prepare: Callable) -> dict[str, Run]:
    import torch
    import transformers

    device = torch_device()
    config = transformers.VideoMAEConfig(
        image_size=spec.image_size, patch_size=spec.patch_size, num_frames=spec.num_frames,
        tubelet_size=spec.tubelet_size, hidden_size=spec.width, num_hidden_layers=spec.depth,
        num_attention_heads=spec.num_heads, intermediate_size=spec.mlp_dim, decoder_hidden_size=spec.decoder_width,
        decoder_num_hidden_layers=spec.decoder_depth, decoder_num_attention_heads=spec.decoder_heads,
        decoder_intermediate_size=spec.decoder_mlp_dim, use_mean_pooling=False,
    )  # fmt: skip
    model = transformers.VideoMAEForPreTraining(config).to(device)
    model.set_attn_implementation("sdpa")
    run_model = prepare(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), 1.5e-4, (0.9, 0.95), weight_decay=0.05, fused=device == "cuda" or None
    )
    _, masked = ops.tube_mask(jax.random.key(1), batch, spec.grid, mask_ratio)
    hidden = np.zeros((batch, spec.num_tokens), bool)
    np.put_along_axis(hidden, np.asarray(masked), True, axis=1)
    hidden = torch.from_numpy(hidden).to(device)
    clips = torch.randn(batch, spec.num_frames, 3, *spec.frame_size, device=device)

    def loss():
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            return run_model(clips, hidden).loss

    def forward():
        with torch.no_grad():
            loss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return {"forward": torch_repeat(forward), "step": torch_repeat(step)}


def classifier(
    family: str, spec: VideoMAESpec | TimeSformerSpec | ViViTSpec, batch: int, settings: Settings
) -> dict[str, Run]:
    """Return the forward pass of transformers' classifier by contender; empty if a package is missing.

    Args:
      family: videomae, timesformer or vivit.
    """
    if not installed("torch", "transformers"):
        settings.remark("transformers and PyTorch are not both installed: the forward pass is not compared")
        return {}
    import torch

    device, dtype = torch_device(), compute_dtype(settings)
    model = _classifier(family, spec).to(device).eval()
    clips = torch.randn(batch, spec.num_frames, 3, *spec.frame_size, device=device)

    def forward_of(run_model: Callable[[torch.Tensor], Any]) -> Run:
        def forward():
            with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
                run_model(clips)

        return torch_repeat(forward)

    contenders = {"transformers": forward_of(model)}
    if _is_compiled_too(settings):
        contenders["transformers + torch.compile"] = forward_of(torch.compile(model))
    return contenders


def write_videomae(size: str, folder: pathlib.Path, settings: Settings) -> bool:
    """Write a classifier with random weights in transformers' format; False if transformers or PyTorch is missing."""
    if not installed("torch", "transformers"):
        settings.remark("transformers and PyTorch are not both installed: predict and embed have no model to run")
        return False
    import transformers

    _classifier("videomae", VIDEOMAE_SPECS[size]).save_pretrained(folder)
    side = VIDEOMAE_SPECS[size].frame_size[0]
    processor = transformers.VideoMAEImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )
    processor.save_pretrained(folder)
    return True


def script_words(*words: str) -> list[str]:
    """Return the command line of `torch_script.py`; -P keeps the script from importing this folder's modules."""
    return [sys.executable, "-P", str(pathlib.Path(__file__).with_name("torch_script.py")), *words]


def _classifier(family: str, spec: VideoMAESpec | TimeSformerSpec | ViViTSpec) -> transformers.PreTrainedModel:
    """Build a classifier of the spec's sizes, with PyTorch's own attention if transformers has that for the family."""
    import transformers

    cubes = [spec.tubelet_size, spec.patch_size, spec.patch_size]
    own: dict[str, dict[str, Any]] = {
        "videomae": {"patch_size": spec.patch_size, "tubelet_size": spec.tubelet_size},
        "timesformer": {"patch_size": spec.patch_size},
        "vivit": {"tubelet_size": cubes},
    }
    config = transformers.AutoConfig.for_model(
        family, image_size=spec.frame_size[0], num_frames=spec.num_frames, num_labels=NUM_CLASSES,
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, **own[family],
    )  # fmt: skip
    return transformers.AutoModelForVideoClassification.from_config(config)


def _is_compiled_too(settings: Settings) -> bool:
    return settings.compile_peer or (settings.compile_peer is None and torch_device() == "cuda")


def attention(shape: tuple[int, int, int, int], dtype: str) -> dict[str, dict[str, Run]]:
    """Return `forward` and `forward + backward` of scaled_dot_product_attention for a shape (b n h d)."""
    if not installed("torch"):
        return {}
    import torch

    batch, tokens, heads, dim = shape
    device, kind = torch_device(), getattr(torch, dtype)
    q, k, v, cotangent = (torch.randn(batch, heads, tokens, dim, device=device, dtype=kind) for _ in range(4))
    for leaf in (q, k, v):
        leaf.requires_grad_(True)

    def forward():
        with torch.no_grad():
            torch.nn.functional.scaled_dot_product_attention(q, k, v)

    def backward():
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        torch.autograd.grad(out, (q, k, v), cotangent)

    return {"PyTorch's SDPA": {"forward": torch_repeat(forward), "forward + backward": torch_repeat(backward)}}


def mamba_scan(operands: dict[str, Any], dtype: str, remark: Callable[[str], None]) -> dict[str, dict[str, Run]]:
    """Return `forward` and `forward + backward` of mamba-ssm's CUDA kernel on the given operands.

    Args:
      operands: x, dt (b l d); A (d s); B, C (b l s); D (d); in NumPy float32.
    """
    if not installed("torch", "mamba_ssm"):
        remark("mamba-ssm is not installed: the scan is compared only with plain JAX")
        return {}
    import torch
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    device, kind = torch_device(), getattr(torch, dtype)

    def tensor(name: str):
        value = operands[name] if operands[name].ndim < 3 else operands[name].transpose(0, 2, 1)
        whole = name in ("A", "D")  # these stay float32
        value = torch.tensor(np.ascontiguousarray(value), device=device, dtype=torch.float32 if whole else kind)
        return value.requires_grad_(True)

    leaves = [tensor(name) for name in ("x", "dt", "A", "B", "C", "D")]
    cotangent = torch.ones_like(leaves[0])

    def forward():
        with torch.no_grad():
            selective_scan_fn(*leaves)

    def backward():
        torch.autograd.grad(selective_scan_fn(*leaves), leaves, cotangent)

    return {"mamba-ssm": {"forward": torch_repeat(forward), "forward + backward": torch_repeat(backward)}}


def torch_device() -> str:
    """Return cuda if JAX runs on a GPU too, else cpu; also let PyTorch use all threads that the process may use."""
    import torch

    with contextlib.suppress(AttributeError):  # on systems without affinity
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    return "cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu"


def torch_repeat(call: Callable[[], None]) -> Run:
    """Repeat a call, then wait for the GPU."""
    import torch

    def run(count: int) -> None:
        for _ in range(count):
            call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run
