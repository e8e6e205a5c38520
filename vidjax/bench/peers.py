"""What others offer for the same work, where it is installed: transformers, PyTorch, mamba-ssm.

Each is called as its users call it: under autocast, with scaled_dot_product_attention and, on a GPU, torch.compile and
the fused AdamW. PyTorch is told of the threads that the process may use.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vidjax import ops
from vidjax.bench.race import Run
from vidjax.bench.settings import Settings
from vidjax.models.videomae import VideoMAESpec


def installed(*names: str) -> bool:
    """Whether all packages can be imported."""
    return all(importlib.util.find_spec(name) for name in names)


def videomae(
    spec: VideoMAESpec, batch: int, dtype: str, mask_ratio: float, settings: Settings
) -> dict[str, dict[str, Run]]:
    """VideoMAEForPreTraining: `forward` and `step` by contender; none where transformers or PyTorch is missing."""
    if not installed("torch", "transformers"):
        settings.remark("transformers and PyTorch are not installed: the step has nobody to compare with")
        return {}
    import torch

    device = torch_device()
    contenders = {"transformers": _videomae(spec, batch, dtype, mask_ratio, lambda model: model)}
    if settings.compile_peer or (settings.compile_peer is None and device == "cuda"):
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


def attention(shape: tuple[int, int, int, int], dtype: str) -> dict[str, dict[str, Run]]:
    """scaled_dot_product_attention on (b n h d) inputs: `forward` and `forward + backward`."""
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
    """The CUDA kernel of mamba-ssm on the same numbers: `forward` and `forward + backward`.

    Args:
      operands: x, dt (b l d); A (d s); B, C (b l s); D (d), NumPy float32.
    """
    if not installed("torch", "mamba_ssm"):
        remark("mamba-ssm is not installed: the scan is compared with plain JAX only")
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
    """cuda where JAX runs on a GPU too; also tells PyTorch of the threads that the process may use."""
    import torch

    with contextlib.suppress(AttributeError):  # where a system has no affinity
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    return "cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu"


def torch_repeat(call: Callable[[], None]) -> Run:
    """Run a call so many times, then wait for the GPU."""
    import torch

    def run(count: int) -> None:
        for _ in range(count):
            call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run
