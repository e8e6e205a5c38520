"""Keep only the encoder of a pre-trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from vidjax.config import Config
from vidjax.models import FAMILIES, family_of


def encoder_only(config: Config, module: nn.Module, params: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the encoder as a classifier without a head; drop everything else, such as a projection or a predictor."""
    family = FAMILIES.find(family_of(config.model.name)[0])
    return family.classifier(module.spec, 0), {"encoder": params["encoder"]}
