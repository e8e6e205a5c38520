"""Probes: small models fitted to stored features."""
