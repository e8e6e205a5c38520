"""`vidjax check FEATURES`: check that a folder of features is complete and that every array is as it was written."""

from __future__ import annotations

import os

from vidjax.cli.terminal import print_json
from vidjax.errors import DataError, UserError, printable
from vidjax.files import located, read_json
from vidjax.progress import progress

SHOWN = 5  # problems and failures listed individually


def is_store(folder: str) -> bool:
    """Return whether a folder holds features, not videos or records (TFDS records have a features.json too)."""
    header = read_json(os.path.join(folder, "features.json")) if os.path.isdir(folder) else None
    return isinstance(header, dict) and "backbone" in header


def check_store(folder: str, *, as_json: bool) -> bool:
    """Read all of a store, and print what it holds and what is wrong; return True if nothing is.

    Raises:
      DataError: if its header cannot be read.
    """
    from vidjax.evaluation.features.header import read_header
    from vidjax.evaluation.features.parts import failures, missing_parts, open_part

    place = located(folder)
    header = read_header(place)
    if header is None:
        raise DataError(f"{folder} holds no features")
    missing, problems, failed, windows = missing_parts(place, header), [], [], 0
    there = [part for part in range(header.num_parts) if part not in missing]
    with progress(f"checking {folder}", len(there), unit="parts") as advance:
        for part in there:
            try:
                with open_part(place, header, part) as content:
                    content.check()
                    windows += int(content.windows().counts.sum()) if header.windows else 0
                failed += failures(place, header, [part])
            except UserError as error:
                problems.append(str(error))
            advance()
    if missing:
        told = f"{len(missing)} of {header.num_parts} parts are missing; compute them with `{header.command(folder)}`"
        problems.append(told)
    if as_json:
        counts = {"rows": header.num_rows, "windows": windows if header.windows else None, "parts": header.num_parts}
        reasons = [{"id": name, "reason": reason} for name, reason in failed]
        print_json({"folder": folder, "complete": not problems, **counts, "problems": problems, "failures": reasons})
        return not problems
    arrays = ", ".join(f"{name} ({' x '.join(map(str, shape))})" for name, shape in header.arrays.items())
    of_windows = f", {windows} windows" if header.windows else ""
    about = f"{header.num_rows} rows{of_windows} in {header.num_parts} parts: {arrays}, {header.dtype}"
    print(printable(f"{folder}: features by {header.backbone['source']} of {about}"))
    for name, reason in failed[:SHOWN]:
        print(printable(f"{name} has no features: {reason}"))
    if len(failed) > SHOWN:
        print(f"... and {len(failed) - SHOWN} more")
    for problem in problems[:SHOWN]:
        print(printable(problem))
    if len(problems) > SHOWN:
        print(f"... and {len(problems) - SHOWN} more problems")
    if not problems:
        print("nothing is missing, and every array is as written")
    return not problems
