"""Probes fitted to stored features."""
