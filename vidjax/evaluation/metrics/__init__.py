"""Metrics on the host, in NumPy."""
