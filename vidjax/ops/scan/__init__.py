"""Implementations of `selective_scan`, `causal_conv_silu` and `mamba_branch` that need more than a few lines."""
