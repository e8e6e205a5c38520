"""Attention maps: where each layer and head of a model looks, and their roll-out."""

from vidjax.evaluation.attention.maps import AttentionMaps, attention_maps, map_sizes

__all__ = ["AttentionMaps", "attention_maps", "map_sizes"]
