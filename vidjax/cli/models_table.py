"""The table of models as rows of text, for the terminal and for docs/models.md."""

from __future__ import annotations

from typing import Any

HEADINGS = ("model", "params", "gmacs", "clip", "data", "views", "top-1", "top-5")
EXPLAINED = (
    "gmacs: billions of multiply-accumulates of one view, which papers call GFLOPs; VideoMamba's authors leave out "
    "what their fused kernel does, 14 to 24 %. clip: frames x stride, `all` where they are spread over the video, "
    "@ pixels where not 224. views: clips x crops. BGR: trained on frames with that order of channels, "
    "which predict, embed and evaluate give these weights. Accuracies are the published ones; vidjax models --json "
    "names the source of each."
)
WEIGHTS_EXPLAINED = (
    "Weights, for --model and vidjax.from_pretrained: owner/name is a hub id and owner/name/file.pth a file on the "
    "hub, both are fetched; other files are the authors', or in Google's scenic-bucket, and to be downloaded first. "
    "Behind them is how their accuracy was measured, which predict, embed and evaluate follow without a flag: the "
    "sampling of frames (data.sampling), their resizing and the order of their channels, and whether it is that of the "
    "last epoch or of the epoch that scored best on the very videos of that accuracy."
)
_SHORT = {"Kinetics-": "K", "Something-Something v2": "SSv2"}


def rows(card: dict[str, Any]) -> list[tuple[str, ...]]:
    """The lines of one model, one for each published result, as text under `HEADINGS`; at least one line."""
    size = (card["name"], f"{card['params'] / 1e6:.1f}M")
    lines = []
    for result in card["results"]:
        data = _short(result["data"]) + _apart(result)
        views = f"{result['clips']}x{result['crops']}" if result["clips"] else "?"
        accuracy = tuple("" if result[key] is None else f"{result[key]}" for key in ("top1", "top5"))
        lines.append((*size, *_clip(result), data, views, *accuracy))
        size = ("", "")
    return lines or [(*size, *_clip(card), "", "", "", "")]


def sources(card: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Where weights of one model come from, what they are, and how they were tested, the published results first."""
    found = [(result["weights"], _holds(result), tested(result)) for result in card["results"] if result["weights"]]
    return found + [(entry["weights"], entry["what"], "") for entry in card["pretrained"]]


def tested(result: dict[str, Any]) -> str:
    """The protocol of an accuracy: how frames are sampled, resized and ordered, and which checkpoint was tested."""
    words = (result["sampling"], result["interpolation"], result["channels"].upper(), f"{result['checkpoint']} epoch")
    return ", ".join(words)


def _clip(facts: dict[str, Any]) -> tuple[str, str]:
    """The cost of a view, and what it is made of."""
    gmacs, (height, width) = facts["gmacs"], facts["image_size"]
    stride = {None: "", 0: " all"}.get(facts["stride"], f"x{facts['stride']}")
    size = "" if height == width == 224 else f"@{height}" if height == width else f"@{height}x{width}"
    return f"{gmacs:.{1 if 1 <= gmacs < 100 else 3 if gmacs < 1 else 0}f}", f"{facts['num_frames']}{stride}{size}"


def _holds(result: dict[str, Any]) -> str:
    return f"{_short(result['data'])}, {_clip(result)[1]}{_apart(result)}"


def _apart(result: dict[str, Any]) -> str:
    """What sets a result apart from others on the same data."""
    order = "BGR" if result["channels"] == "bgr" else ""
    return "".join(f", {word}" for word in (result["note"], order) if word)


def _short(data: str) -> str:
    for long, short in _SHORT.items():
        data = data.replace(long, short)
    return data
