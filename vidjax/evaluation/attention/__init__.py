"""Where a model looks: maps of its layers and heads, and their roll-out."""

from vidjax.evaluation.attention.maps import AttentionMaps, attention_maps, map_sizes

__all__ = ["AttentionMaps", "attention_maps", "map_sizes"]
