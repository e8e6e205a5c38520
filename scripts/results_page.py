"""docs/results.md: every public checkpoint that vidjax names, its published accuracy, and what was measured here.

    python scripts/results_page.py [FOLDER ...] [--docs docs]

A FOLDER is the workdir of an evaluation of public weights, or that of `make test-hub`. Its figures go to results.json
beside the page and stay there; the page is made of them and of the tables behind `vidjax models`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vidjax.cli.models_table import tested
from vidjax.cli.verbs.models import describe_all
from vidjax.errors import ConfigError, UserError
from vidjax.files import write_json, write_whole
from vidjax.models.zoo import names_weights

NOT_RUN = "not run by us"
DATA = {  # data.name of the data sets in the tables
    "Kinetics-400": "kinetics400",
    "Kinetics-600": "kinetics600",
    "Kinetics-710": "kinetics710",
    "Something-Something v2": "ssv2",
    "UCF101": "ucf101",
    "HMDB51": "hmdb51",
}
_HEAD = """# Results

Made by `python scripts/results_page.py`; do not edit. Every public checkpoint that `vidjax models` names has a row.
*published* is top-1 / top-5 in per cent, with the protocol and the source of the figure; weights without classes have
none. *ours* is the same, scored by vidjax with that protocol. *outputs* says whether vidjax's outputs of these weights
equal published ones or those of another implementation, as `make test-hub` compares them. What we have not measured
says "{not_run}".

To fill *ours*, with the data set's folder for DIR and a file of the authors' by its path:

```
python -m vidjax.main --config=finetune --config.mode=evaluate --config.init_from=WEIGHTS \\
    --config.data.name=NAME --config.data.root=DIR --config.eval.allow_missing=True --workdir=runs/WEIGHTS
python scripts/results_page.py runs/WEIGHTS
```

The model, its clips and its views are those of the weights; NAME is in the table. Distilled weights of VideoMAE V2
have the classes of Kinetics-710: add `--config.init_label_map=misc/label_710to400.json`, from its repository.

To fill *outputs*:

```
make test-hub
python scripts/results_page.py runs/hub
```
"""
_HEADINGS = ("weights", "data", "NAME", "clip", "views", "tested with", "published", "source", "ours", "outputs")


def page(cards: Iterable[Mapping[str, Any]], measured: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
      cards: of `vidjax models --json`.
      measured: accuracies by the name of the weights, {top1, top5, videos}; outputs, {comparison: largest difference}.
    """
    lines = [_HEADINGS, ("---",) * len(_HEADINGS)]
    for card in cards:
        lines += [_line(result, measured) for result in card["results"] if result["weights"]]
        lines += [_backbone(entry, measured) for entry in card["pretrained"]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{_HEAD.format(not_run=NOT_RUN)}\n{table}\n"


def _line(result: Mapping[str, Any], measured: Mapping[str, Any]) -> tuple[str, ...]:
    weights, (height, width) = result["weights"], result["image_size"]
    stride = {None: "", 0: " all"}.get(result["stride"], f"x{result['stride']}")
    ours = measured["accuracies"].get(weights)
    return (
        f"`{weights}`", result["data"] + (f", {result['note']}" if result["note"] else ""),
        f"`{DATA[result['data']]}`", f"{result['num_frames']}{stride}@{height}x{width}",
        f"{result['clips']}x{result['crops']}", tested(result), _accuracy(result), result["source"],
        f"{_accuracy(ours)}, {ours['videos']} videos" if ours else NOT_RUN,
        measured["outputs"].get(weights, NOT_RUN),
    )  # fmt: skip


def _backbone(entry: Mapping[str, Any], measured: Mapping[str, Any]) -> tuple[str, ...]:
    outputs = measured["outputs"].get(entry["weights"], NOT_RUN)
    return (f"`{entry['weights']}`", entry["what"], *[""] * 4, "-", "", "-", outputs)


def _accuracy(found: Mapping[str, Any]) -> str:
    return " / ".join("-" if found[key] is None else f"{found[key]}" for key in ("top1", "top5"))


def add(measured: dict[str, Any], folder: Path, names: Iterable[str]) -> None:
    """Enter the figures of a folder.

    Args:
      names: of the weights that the page has.

    Raises:
      ConfigError: for a folder that is neither, or whose weights the page does not have.
    """
    results, table = folder / "results.json", folder / "table.json"
    if table.is_file():
        outputs: dict[str, list[str]] = {}
        for row in json.loads(table.read_text()):
            if weights := next((name for name in names if row["name"] == name or name.endswith(f"/{row['name']}")), ""):
                outputs.setdefault(weights, []).append(_compared(row))
        measured["outputs"] |= {weights: "; ".join(found) for weights, found in outputs.items()}
        return
    if not results.is_file():
        raise ConfigError(f"{folder} has neither results.json, of an evaluation, nor table.json, of make test-hub")
    found = json.loads(results.read_text())
    source = found.get("eval/weights", "")
    weights = next((name for name in names if names_weights(source, name)), None)
    if weights is None:
        raise ConfigError(
            f"{results} is of {source or 'a run of ours'!r}; the page has public weights that were scored with "
            "config.mode=evaluate and config.init_from"
        )
    accuracy = {key: round(100 * found[f"eval/{key}"], 2) for key in ("top1", "top5")}
    measured["accuracies"][weights] = accuracy | {"videos": found["eval/num_scored"]}


def _compared(row: Mapping[str, Any]) -> str:
    """A row of `make test-hub` in words."""
    words = row["compared"] if row["largest"] is None else f"{row['compared']}: {row['largest']:.1e}"
    return f"{row['verdict']} ({words})"


def main(argv: list[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    arguments = parser.parse_args(argv)
    file, cards = arguments.docs / "results.json", describe_all()
    measured = json.loads(file.read_text()) if file.is_file() else {"accuracies": {}, "outputs": {}}
    names = [found["weights"] for card in cards for found in (*card["results"], *card["pretrained"])]
    try:
        for folder in arguments.folders:
            add(measured, folder, names)
    except UserError as error:
        print(f"results_page: {error}", file=sys.stderr)
        return 2
    if arguments.folders:
        write_json(file, measured)
    write_whole(arguments.docs / "results.md", page(cards, measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
