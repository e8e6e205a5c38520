"""The implementations of `vidjax.ops.selective_scan` that need more than a few lines."""
