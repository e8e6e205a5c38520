"""The Hugging Face hub: a model's files, or one file of a repository, brought here or found in the local cache."""

from __future__ import annotations

import re
from pathlib import Path

from vidjax.errors import WeightsError, nearest_path
from vidjax.weights.run_files import is_run

MODEL = re.compile(r"^[\w-][\w.-]*/[\w-][\w.-]*$")
FILE = re.compile(r"^([\w-][\w.-]*/[\w-][\w.-]*)/(.+\.(?:safetensors|pth|pt|pyth|bin))$")
JSON_FILES = ["config.json", "preprocessor_config.json", "preprocessing.json"]
_SHOWN = 5  # names in a folder
# The second pattern only if there is nothing of the first: many repositories hold both, with the same content.
WEIGHTS = ("model*.safetensors*", "pytorch_model*.bin*")


def fetch(source: str) -> Path:
    """The folder of a model, `owner/name`, or one of its files, `owner/name/path/file.pth`.

    Raises:
      WeightsError: when there is no such thing, or the hub cannot be reached and nothing is in the cache; see also
        `check_name`.
    """
    check_name(source)
    import huggingface_hub
    from huggingface_hub import errors

    file = FILE.match(source)
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


def check_name(source: str) -> None:
    """Refuse a name of nothing that is here, before the hub is asked: a mistyped path, or what is no hub id.

    runs/finetun looks like a hub id and is meant for runs/finetune. What is in the hub's local cache is no mistake.

    Raises:
      WeightsError: with the path that is almost the name, or with what its folder holds.
    """
    file = FILE.match(source)
    near, folder = nearest_path(source), Path(source.split("/")[0])
    if not (file or MODEL.match(source)):
        why = f"; did you mean {near}?" if near else ", and it is no hub id (owner/name, or owner/name/file.pth) either"
        raise WeightsError(f"there is no file or folder {source!r}{why}")
    repository, name = (file[1], file[2]) if file else (source, JSON_FILES[0])
    if not (near or folder.is_dir()) or _is_cached(repository, name):
        return
    if near:
        said = f"did you mean {near}?"
    else:
        folder = parent if (parent := Path(source).parent).is_dir() else folder
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        said = f"the folder {folder} holds {', '.join(names[:_SHOWN]) or 'nothing'}{rest}"
    if not (near and is_run(near)):
        said += f"{'' if near else '.'} If you mean a model on the hub, fetch it first: hf download {repository}"
    raise WeightsError(f"there is no file or folder {source!r} here; {said}")


def _is_cached(repository: str, name: str) -> bool:
    import huggingface_hub

    try:
        return isinstance(huggingface_hub.try_to_load_from_cache(repository, name), str)
    except huggingface_hub.errors.HFValidationError:  # no repository has such a name
        return False


def _unreachable(source: str) -> WeightsError:
    return WeightsError(
        f"there is no file or folder {source!r} here, and as a hub id it is not in the local cache while the hub "
        "cannot be reached; connect to the network once, or give a folder with its config.json and model.safetensors"
    )
