"""The Hugging Face hub: download a model's files or one file of a repository, or find them in the local cache."""

from __future__ import annotations

import re
from pathlib import Path

from vidjax.data.text_encoding import FILES
from vidjax.errors import WeightsError, nearest_path
from vidjax.weights.run_files import is_run

MODEL = re.compile(r"^[\w-][\w.-]*/[\w-][\w.-]*$")
FILE = re.compile(r"^([\w-][\w.-]*/[\w-][\w.-]*)/(.+\.(?:safetensors|pth|pt|pyth|bin|npz))$")
JSON_FILES = ["config.json", "preprocessor_config.json", "preprocessing.json"]
_SHOWN = 5  # file names that an error lists
# The second pattern is only tried if the first finds nothing: many repositories hold both, with the same content.
WEIGHTS = ("model*.safetensors*", "pytorch_model*.bin*")


def fetch(source: str) -> Path:
    """Download a model, `owner/name`, or one of its files, `owner/name/path/file.pth`, unless it is cached.

    Returns:
      the local path of the model's folder or of the file.

    Raises:
      WeightsError: if the source does not exist, requires a login, or is not cached and the hub cannot be reached; or
        if `check_name` rejects it.
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
            folder = Path(huggingface_hub.snapshot_download(source, allow_patterns=[*JSON_FILES, *FILES, weights]))
            if any(folder.glob(weights)):
                break
        return folder
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(source) from error
    except errors.GatedRepoError as error:
        raise WeightsError(f"{source!r} on the hub requires a login: run `hf auth login` first") from error
    except missing as error:
        raise WeightsError(f"there is no file or folder {source!r} here, and no such model on the hub") from error
    except Exception as error:  # no network or a broken connection: the class depends on the hub's HTTP client
        raise _unreachable(source) from error


def fetch_vocabulary(source: str) -> None:
    """Download the vocabulary beside one file of a repository (a source as in `fetch`), if there is one.

    Raises:
      WeightsError: if the connection breaks.
    """
    import huggingface_hub
    from huggingface_hub import errors

    file = FILE.match(source)
    if file is None:
        return
    folder = file[2].rpartition("/")[0]
    try:
        huggingface_hub.snapshot_download(file[1], allow_patterns=[f"{folder}/{name}".lstrip("/") for name in FILES])
    except errors.LocalEntryNotFoundError:  # no network; without a vocabulary, the model still embeds videos
        return
    except Exception as error:
        raise _unreachable(source) from error


def check_name(source: str) -> None:
    """Reject a mistyped path or an invalid hub id before the hub is asked.

    `runs/finetun`, meant as `runs/finetune`, looks like a hub id. A name in the hub's local cache is accepted.

    Raises:
      WeightsError: for such a path or id; the message names the most similar path, or the content of the folder.
    """
    file = FILE.match(source)
    near, folder = nearest_path(source), Path(source.split("/")[0])
    if not (file or MODEL.match(source)):
        why = f"; did you mean {near}?" if near else ", nor is it a hub id (owner/name, or owner/name/file.pth)"
        if source.startswith("random:"):
            why = "; random weights are for `vidjax embed`, `vidjax index` and probes, as a baseline"
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
    except huggingface_hub.errors.HFValidationError:  # not a valid name of a repository
        return False


def _unreachable(source: str) -> WeightsError:
    return WeightsError(
        f"there is no file or folder {source!r} here; as a hub id it is not in the local cache, and the hub cannot be "
        "reached; connect to the network once, or give a folder with its config.json and model.safetensors"
    )
