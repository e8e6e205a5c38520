"""The Hugging Face hub: a model's files, or one file of a repository, brought here or found in the local cache."""

from __future__ import annotations

import re
from pathlib import Path

from vidjax.errors import WeightsError

MODEL = re.compile(r"^[\w-][\w.-]*/[\w-][\w.-]*$")
FILE = re.compile(r"^([\w-][\w.-]*/[\w-][\w.-]*)/(.+\.(?:safetensors|pth|pt|pyth|bin))$")
JSON_FILES = ["config.json", "preprocessor_config.json"]
# The second pattern only if there is nothing of the first: many repositories hold both, with the same content.
WEIGHTS = ("model*.safetensors*", "pytorch_model*.bin*")


def fetch(source: str) -> Path:
    """The folder of a model, `owner/name`, or one of its files, `owner/name/path/file.pth`.

    Raises:
      WeightsError: when there is no such thing, or the hub cannot be reached and nothing is in the cache.
    """
    file = FILE.match(source)
    mistyped = file and Path(source).parent.is_dir()
    if mistyped or not (file or MODEL.match(source)):
        raise WeightsError(
            f"there is no file or folder {source!r}, and it is no hub id (owner/name, or owner/name/file.pth) either"
        )
    import huggingface_hub
    from huggingface_hub import errors

    missing = (
        errors.RepositoryNotFoundError,
        errors.EntryNotFoundError,
        errors.RevisionNotFoundError,
        errors.HFValidationError,
    )
    try:
        if file:
            return Path(huggingface_hub.hf_hub_download(file[1], file[2]))
        for weights in WEIGHTS:
            folder = Path(huggingface_hub.snapshot_download(source, allow_patterns=[*JSON_FILES, weights]))
            if any(folder.glob(weights)):
                break
        return folder
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(source) from error
    except errors.GatedRepoError as error:
        raise WeightsError(f"{source!r} on the hub is given to known users only: run `hf auth login` first") from error
    except missing as error:
        raise WeightsError(f"there is no file or folder {source!r} here, and no such model on the hub") from error
    except Exception as error:  # no network, or a connection that broke: of the HTTP client that its package has
        raise _unreachable(source) from error


def _unreachable(source: str) -> WeightsError:
    return WeightsError(
        f"there is no file or folder {source!r} here, and as a hub id it is not in the local cache while the hub "
        "cannot be reached; connect to the network once, or give a folder with its config.json and model.safetensors"
    )
