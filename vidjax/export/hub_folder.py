"""Write a folder to upload to the Hugging Face hub: weights, a model card, and a Space with a demo."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vidjax.errors import ConfigError, WeightsError
from vidjax.export import model_card
from vidjax.export.folders import whole_folder
from vidjax.weights import Pretrained, export, preprocessing

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LICENSE = re.compile(r"[A-Za-z0-9][\w.-]*")
_SPACE = "space"
_APP = '''"""The vidjax demo of {name}; runs as a Space, or anywhere with `python app.py`."""

import sys

from vidjax.cli import main

sys.exit(main(["demo", "--model={name}", "--host=0.0.0.0", "--port=7860"]))
'''
_SPACE_CARD = """---
title: {title}
sdk: gradio
app_file: app.py
models:
- {name}
---

The [vidjax](https://github.com/vidjax/vidjax) demo of [{name}](https://huggingface.co/{name}).
"""
_REQUIREMENTS = "vidjax[demo] @ git+https://github.com/vidjax/vidjax\n"


def write(model: Pretrained, folder: str | os.PathLike, name: str, license: str = "") -> tuple[str, ...]:
    """Write a model card and weights, in the layout of `transformers` or, for models that it lacks, the authors'.

    `preprocessing.json` records how clips are taken, so that `from_pretrained` of the folder, or of its hub id, gives
    the same answers as the model. Upload the folder `space` as a separate Space.

    Args:
      folder: new or empty.
      name: repository on the hub, owner/name.
      license: the hub's name of the licence, such as apache-2.0; empty if unknown.

    Returns:
      notes, as from `vidjax.weights.export`.

    Raises:
      ConfigError: for a name or licence that the hub rejects, or when the folder is in a bucket.
      WeightsError: for a model that is not a classifier, backbone or autoencoder, or that has no layout.
      DataError: when the folder cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a hub repository name; give owner/name")
    if license and not _LICENSE.fullmatch(license):
        raise ConfigError(f"--license={license!r} is not a hub licence; give its short name, such as apache-2.0")
    if model.clip_recipe is None or (model.answer and model.answer.kind != "classes"):
        raise WeightsError(
            f"{model.source} has no layout on the hub; only classifiers, backbones and autoencoders have one"
        )
    with whole_folder(folder) as draft:
        notes = export(model, draft)
        preprocessing.write(draft, model)
        loads = (draft / "config.json").exists()
        (draft / "README.md").write_text(model_card.write(model, name, license, transformers=loads))
        _write_space(draft / _SPACE, name)
    return notes if license else (*notes, "the card states no licence; give --license, or edit the card")


def _write_space(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / "app.py").write_text(_APP.format(name=name))
    (folder / "requirements.txt").write_text(_REQUIREMENTS)
    (folder / "README.md").write_text(_SPACE_CARD.format(name=name, title=name.split("/")[1]))
