"""Metrics, computed on the host in NumPy."""
