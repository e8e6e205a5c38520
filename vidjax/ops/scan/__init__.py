"""The implementations of `selective_scan` and `causal_conv_silu` that need more than a few lines."""
