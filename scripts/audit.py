"""Check installed packages for known advisories with pip-audit; packages that cannot be looked up do not pass.

    .venv-audit/bin/python scripts/audit.py SITE_PACKAGES

pip-audit skips packages that its service does not know, so a report without advisories may mean that nothing was
looked up, for example behind a registry that serves packages without their advisories. The exit code is 0 only if every
package was looked up and none has an advisory, 1 if one has, and 2 if some could not be looked up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

SERVICES = ("pypi", "osv")  # tried in this order, until one knows every package
SOUND, FOUND, UNKNOWN = 0, 1, 2
OWN = "vidjax"  # not on any registry
REMEDY = (
    "run `make audit` on a machine that reaches PyPI's advisories or osv.dev, or look up the packages that `pip "
    "freeze` lists"
)

Answer = dict[str, Any]  # pip-audit's JSON


def main(argv: Sequence[str], ask: Callable[[str, str], Answer | None] | None = None) -> int:
    """Print advisories and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", metavar="SITE_PACKAGES", help="the folder where the packages are installed")
    folder = parser.parse_args(argv).packages
    best: list[Answer] = []
    for service in SERVICES:
        answer = (ask or ask_pip_audit)(service, folder)
        packages = [package for package in (answer or {}).get("dependencies", []) if package["name"] != OWN]
        best = max(best, packages, key=lambda found: sum("vulns" in package for package in found))
        if packages and all("vulns" in package for package in packages):
            break
    return report(best)


def report(packages: Sequence[Answer]) -> int:
    """Print a report on packages, each with `vulns` or a `skip_reason`, and return the exit code."""
    known = [package for package in packages if "vulns" in package]
    found = [(package, advisory) for package in known for advisory in package["vulns"]]
    for package, advisory in found:
        mended = ", ".join(advisory["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {advisory['id']}, fixed in {mended}")
    if found:
        print(f"{len(found)} known advisories in {len({package['name'] for package, _ in found})} packages")
    if not known:
        print(f"no advisory service could be reached from here: {REMEDY}")
    elif len(known) < len(packages):
        missing = ", ".join(package["name"] for package in packages if "vulns" not in package)
        print(f"{len(packages) - len(known)} packages could not be looked up ({missing}): {REMEDY}")
    elif not found:
        print(f"{len(known)} packages, none with a known advisory")
    return FOUND if found else SOUND if known and len(known) == len(packages) else UNKNOWN


def ask_pip_audit(service: str, folder: str) -> Answer | None:
    """Return pip-audit's answer; None if there is none, for example because the service cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "--path", folder, "--vulnerability-service", service]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    finished = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(finished.stdout)
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
