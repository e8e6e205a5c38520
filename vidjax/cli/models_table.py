"""Format the table of models as rows of text, for the terminal and for docs/models.md."""

from __future__ import annotations

from typing import Any

HEADINGS = ("model", "params", "gmacs", "clip", "data", "views", "top-1", "top-5")
EXPLAINED = (
    "gmacs: billions of multiply-accumulates per view, which papers call GFLOPs; VideoMamba's authors omit those of "
    "their fused kernel, 14 to 24 % of the total. clip: frames x stride, with @ and the size in pixels unless it is "
    "224; `all` in place of a stride if the frames are spread over the video; no stride if none is published. views: "
    "clips x crops; ? if not published. BGR: trained on frames with that channel order, which predict, embed and "
    "evaluate use for these weights. Accuracies are the published ones; vidjax models --json names the source of each."
)
WEIGHTS_EXPLAINED = (
    "Weights, for --model and vidjax.from_pretrained: owner/name is a hub id and owner/name/file.pth a file on the "
    "hub; both are downloaded. Other files come from the authors or from Google's scenic-bucket; download them first. "
    "Weights with a published accuracy also state how it was measured: frame sampling (data.sampling), resizing, "
    "channel order, and whether the weights are those of the last epoch or of the epoch that scored best on the test "
    "videos. VideoPrism's authors do not publish this; its entries state how their notebook takes clips. predict, "
    "embed and evaluate take clips in the stated way by default."
)
RETRIEVAL = ("zero-shot retrieval", "text to video, R@1", "video to text, R@1")
_SHORT = {"Kinetics-": "K", "Something-Something v2": "SSv2"}


def rows(card: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of one model under `HEADINGS`: one per published result, and at least one.

    Results of the same weights in two files are one row.
    """
    size = (card["name"], f"{card['params'] / 1e6:.1f}M")
    found: list[tuple[str, ...]] = []
    for result in card["results"]:
        data = _short(result["data"]) + _apart(result)
        views = f"{result['clips']}x{result['crops']}" if result["clips"] else "?"
        accuracy = tuple("" if result[key] is None else f"{result[key]}" for key in ("top1", "top5"))
        found.append((*_clip(result), data, views, *accuracy))
    lines = list(dict.fromkeys(found)) or [(*_clip(card), "", "", "", "")]
    return [(*(("", "") if number else size), *line) for number, line in enumerate(lines)]


def sources(card: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (weights, description, test protocol) for each set of weights of a model, published results first."""
    found = [(result["weights"], _holds(result), tested(result)) for result in card["results"] if result["weights"]]
    return found + [(entry["weights"], entry["what"], "") for entry in card["pretrained"]]


def retrievals(card: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (data, text to video, video to text) for each published recall of a model, in per cent."""
    return [(each["data"], f"{each['text_to_video']}", f"{each['video_to_text']}") for each in card["retrieval"]]


def tested(result: dict[str, Any]) -> str:
    """Describe the protocol of an accuracy: frame sampling, resizing, channel order and the tested checkpoint."""
    words = (result["sampling"], result["interpolation"], result["channels"].upper(), f"{result['checkpoint']} epoch")
    return ", ".join(words)


def _clip(facts: dict[str, Any]) -> tuple[str, str]:
    """Format the cost of a view and its frames, stride and size."""
    gmacs, (height, width) = facts["gmacs"], facts["image_size"]
    stride = {None: "", 0: " all"}.get(facts["stride"], f"x{facts['stride']}")
    size = "" if height == width == 224 else f"@{height}" if height == width else f"@{height}x{width}"
    return f"{gmacs:.{1 if 1 <= gmacs < 100 else 3 if gmacs < 1 else 0}f}", f"{facts['num_frames']}{stride}{size}"


def _holds(result: dict[str, Any]) -> str:
    return f"{_short(result['data'])}, {_clip(result)[1]}{_apart(result)}"


def _apart(result: dict[str, Any]) -> str:
    """Describe what distinguishes a result from others on the same data."""
    order = "BGR" if result["channels"] == "bgr" else ""
    return "".join(f", {word}" for word in (result["note"], order) if word)


def _short(data: str) -> str:
    for long, short in _SHORT.items():
        data = data.replace(long, short)
    return data
