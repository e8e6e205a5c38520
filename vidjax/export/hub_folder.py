"""A folder to upload to the Hugging Face hub: weights, what is said of them, and a Space that shows them."""

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
_APP = '''"""The page of vidjax with {name}; runs as a Space, and anywhere with `python app.py`."""

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

The page of [vidjax](https://github.com/vidjax/vidjax) with [{name}](https://huggingface.co/{name}).
"""
_REQUIREMENTS = "vidjax[demo] @ git+https://github.com/vidjax/vidjax\n"


def write(model: Pretrained, folder: str | os.PathLike, name: str, license: str = "") -> tuple[str, ...]:
    """Write weights in the layout of `transformers`, or of the authors where it has no such model, and a model card.

    `preprocessing.json` keeps how clips are taken, so that `from_pretrained` of the folder, or of its hub id, answers
    as the model does. The folder `space` is to be uploaded as a Space of its own.

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
        _write_space(draft / _SPACE, name)
    return notes if license else (*notes, "the card states no licence: give --license, or write it before you upload")


def _write_space(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / "app.py").write_text(_APP.format(name=name))
    (folder / "requirements.txt").write_text(_REQUIREMENTS)
    (folder / "README.md").write_text(_SPACE_CARD.format(name=name, title=name.split("/")[1]))
