"""Published recipes: the authors' values, read from their repositories at fixed commits.

docs/recipes.md is generated from these recipes, and a test compares every configuration with them.
"""

from vidjax.config.official import (
    svt,
    svt_downstream,
    timesformer,
    videomae,
    videomae_v2,
    videomamba,
    videomamba_pretrain,
    vivit,
    vjepa2,
    vjepa2_probes,
)
from vidjax.config.official.table import Recipe, Row, Source

RECIPES: tuple[Recipe, ...] = (
    *videomae.RECIPES,
    *videomae_v2.RECIPES,
    *timesformer.RECIPES,
    *videomamba.RECIPES,
    *videomamba_pretrain.RECIPES,
    *vivit.RECIPES,
    *svt.RECIPES,
    *svt_downstream.RECIPES,
    *vjepa2.RECIPES,
    *vjepa2_probes.RECIPES,
)

__all__ = ["RECIPES", "Recipe", "Row", "Source"]
