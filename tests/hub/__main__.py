"""First light on public weights: fetch one checkpoint of every layout, compare its outputs, and write a table.

    python tests/hub [--large] [--only WORD] [--plan] [--workdir runs/hub]      (make test-hub)

It runs unattended and can be resumed: files stay in the hub's cache (HF_HOME), and unavailable files are reported and
skipped. By default it fits a laptop with 16 GB and downloads about 14 GB; --large adds larger and further checkpoints.
Each is read and compared in a separate process. WORKDIR/table.md and table.json have a row for each comparison.

Exit codes: 0 everything compared and equal, 1 something differs or could not be read, 2 a mistake on the command line,
3 nothing differs, but some checkpoints were unavailable or could not be compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import download
from checkpoints import CHECKPOINTS, Checkpoint
from huggingface_hub import constants
from table import Row, markdown

from vidjax.errors import WeightsError
from vidjax.files import write_json, write_whole

EXIT_DIFFERENT, EXIT_INCOMPLETE = 1, 3
LIMIT_S = 3600  # time limit of one comparison
# The files that published numbers were computed from: repository, file, kind.
VIDEOS = {
    16: ("hf-internal-testing/spaghetti-video", "eating_spaghetti.npy", "dataset"),
    32: ("hf-internal-testing/spaghetti-video", "eating_spaghetti_32_frames.npy", "dataset"),
}
MASK = ("hf-internal-testing/bool-masked-pos", "bool_masked_pos.pt", "model")

Compare = Callable[[dict], dict]


def main(argv: list[str] | None = None, compare: Compare | None = None) -> int:
    """Fetch, compare and report; returns the exit code.

    Args:
      compare: takes the task of compare.py and returns what it prints; None to run it in a separate process.
    """
    arguments = _parse(argv)
    chosen = [checkpoint for checkpoint in CHECKPOINTS if arguments.large or not checkpoint.large]
    chosen = [checkpoint for checkpoint in chosen if arguments.only.lower() in checkpoint.name.lower()]
    if not chosen:
        print(f"no checkpoint has {arguments.only!r} in its name; leave out --only, or add --large", file=sys.stderr)
        return 2
    if arguments.published:
        chosen = _with_published(chosen, json.loads(Path(arguments.published).read_text()))
    _announce(chosen)
    if arguments.plan:
        return 0
    rows: list[Row] = []
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    for number, checkpoint in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {checkpoint.name}", flush=True)
        found = list(_check(checkpoint, compare or _in_a_process))
        for row in found:
            print(f"  {row.sentence}", flush=True)
        rows += found
        write_json(arguments.workdir / "table.json", [dataclasses.asdict(row) for row in rows])
        write_whole(arguments.workdir / "table.md", markdown(rows, len(chosen)))
    print(f"\n{markdown(rows, len(chosen))}\nThe table is in {arguments.workdir / 'table.md'}.")
    if any(row.verdict in ("differs", "failed") for row in rows):
        return EXIT_DIFFERENT
    return 0 if all(row.verdict == "equal" for row in rows) else EXIT_INCOMPLETE


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests/hub", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--large", action="store_true", help="add larger checkpoints, and further ones of the same layouts")
    add("--only", default="", metavar="WORD", help="only checkpoints with WORD in their name")
    add("--plan", action="store_true", help="print what would be downloaded, and stop")
    add("--workdir", type=Path, default=Path("runs/hub"), help="folder of the table (runs/hub)")
    add("--published", metavar="FILE", help="JSON with other published values by name, for your own hub")
    return parser.parse_args(argv)


def _with_published(chosen: list[Checkpoint], values: dict) -> list[Checkpoint]:
    """The checkpoints with other published values, or with none if the file has none."""
    return [
        dataclasses.replace(
            checkpoint,
            published=dataclasses.replace(checkpoint.published, **values[checkpoint.name])
            if checkpoint.published and checkpoint.name in values
            else None,
        )
        for checkpoint in chosen
    ]


def _announce(chosen: Iterable[Checkpoint]) -> None:
    """Print what is going to be downloaded."""
    total = missing = 0
    unknown = []
    for checkpoint in chosen:
        try:
            planned = download.plan(checkpoint.source)
        except WeightsError as error:
            unknown.append(checkpoint.name)
            print(f"  {checkpoint.name}: {error}")
            continue
        size = "size unknown" if planned.size is None else _bytes(planned.size)
        revision = f", revision {planned.revision[:12]}" if planned.revision else ""
        here = ", already here" if planned.size and planned.present == planned.size else ""
        print(f"  {checkpoint.name}: {size}{revision}{here}", flush=True)
        total += planned.size or 0
        missing += (planned.size or 0) - planned.present
        unknown += [checkpoint.name] if planned.size is None else []
    home = Path(constants.HF_HOME)
    free = shutil.disk_usage(next(place for place in (home, *home.parents) if place.exists())).free
    more = f", and {len(unknown)} of unknown size" if unknown else ""
    print(f"{_bytes(total)}{more}, of which {_bytes(missing)} are to be downloaded to {home} ({_bytes(free)} are free)")
    if constants.HF_HUB_OFFLINE:
        print("HF_HUB_OFFLINE is set: only files in that folder are compared")
    if free < missing:
        print("That does not fit: set HF_HOME to another folder, or choose with --only.")
    print(flush=True)


def _check(checkpoint: Checkpoint, compare: Compare) -> Iterable[Row]:
    """The rows of a checkpoint; a single row with the reason if it is unavailable or cannot be read."""
    row = Row(checkpoint.name, checkpoint.layout)
    try:
        fetched = download.fetch(checkpoint.source)
    except WeightsError as error:
        yield dataclasses.replace(row, compared=str(error), verdict="not had")
        return
    row = dataclasses.replace(row, revision=fetched.revision, bytes=fetched.size)
    print(f"  {_bytes(fetched.size)}, revision {fetched.revision or 'unknown'}, in {fetched.seconds:.0f} s", flush=True)
    frames = 32 if "vivit" in checkpoint.name else 16
    video, mask = (extra and str(extra) for extra in (download.fetch_extra(*VIDEOS[frames]), _mask(checkpoint)))
    task = {
        "checkpoint": dataclasses.asdict(checkpoint), "path": str(fetched.path), "video": video, "mask": mask,
        "source": str(fetched.path) if checkpoint.source.startswith("https://") else checkpoint.source,
    }  # fmt: skip
    found = compare(task)
    row = dataclasses.replace(row, seconds=found.get("seconds"), memory=found.get("memory"))
    if "error" in found:
        yield dataclasses.replace(row, compared=found["error"], verdict="failed")
        return
    for note in found["notes"]:
        print(f"  note: {note}")
    for one in found["comparisons"]:
        if "error" in one:
            yield dataclasses.replace(row, compared=f"{one['compared']}: {one['error']}", verdict="not compared")
        else:
            verdict = "differs" if not one["passed"] else "equal" if one["limit"] is not None else "finite"
            measured = {key: one[key] for key in ("compared", "largest", "limit")}
            yield dataclasses.replace(row, verdict=verdict, **measured)


def _mask(checkpoint: Checkpoint) -> Path | None:
    pretraining = checkpoint.published and checkpoint.published.output == "reconstruction"
    return download.fetch_extra(*MASK) if pretraining else None


def _in_a_process(task: dict) -> dict:
    """The output of compare.py, which downloads nothing and computes in float32, by default on the CPU."""
    environment = {"JAX_PLATFORMS": "cpu", "JAX_DEFAULT_MATMUL_PRECISION": "highest"} | os.environ
    environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "task.json")
        file.write_text(json.dumps(task))
        command = [sys.executable, str(Path(__file__).with_name("compare.py")), str(file)]
        try:
            ended = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return {"error": f"it took over {LIMIT_S} s", "seconds": time.perf_counter() - start}
    try:
        return json.loads(ended.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (ended.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        why = "it was killed, probably for lack of memory" if ended.returncode == -9 else last
        return {"error": f"exit code {ended.returncode}: {why}", "seconds": time.perf_counter() - start}


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1] / "helpers"))
    sys.exit(main())
