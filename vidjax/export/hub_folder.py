"""A folder to upload to the Hugging Face hub: weights, and what is said of them."""

from __future__ import annotations

import os
import re

from vidjax.errors import ConfigError, WeightsError
from vidjax.export import model_card
from vidjax.export.folders import whole_folder
from vidjax.weights import Pretrained, export, preprocessing

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LICENSE = re.compile(r"[A-Za-z0-9][\w.-]*")


def write(model: Pretrained, folder: str | os.PathLike, name: str, license: str = "") -> tuple[str, ...]:
    """Write weights in the layout of `transformers`, or of the authors where it has no such model, and a model card.

    `preprocessing.json` keeps how clips are taken, so that `from_pretrained` of the folder, or of its hub id, answers
    as the model does.

    Args:
      folder: new or empty.
      name: that it is to have on the hub, owner/name.
      license: as the hub calls it, such as apache-2.0; empty where it is not known.

    Returns:
      sentences, as of `vidjax.weights.export`.

    Raises:
      ConfigError: for a name or a licence that the hub would not take.
      WeightsError: for a model that neither tells classes nor reconstructs, or that no layout has.
      DataError: when the folder cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name on the hub; give owner/name")
    if license and not _LICENSE.fullmatch(license):
        raise ConfigError(f"--license={license!r} is no licence of the hub; give its short name, such as apache-2.0")
    if model.clip_recipe is None or (model.answer and model.answer.kind != "classes"):
        raise WeightsError(
            f"{model.source} gives no classes; the layouts of the hub are for classifiers, backbones and autoencoders"
        )
    with whole_folder(folder) as draft:
        notes = export(model, draft)
        preprocessing.write(draft, model)
        loads = (draft / "config.json").exists()
        (draft / "README.md").write_text(model_card.write(model, name, license, transformers=loads))
    return notes if license else (*notes, "the card states no licence: give --license, or write it before you upload")
