"""constraints.txt pins what every extra asks for, in versions that one environment can hold."""

import itertools
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


def pins(python):
    """The pinned version of each package on a version of Python; a package pinned twice is an error."""
    there = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    found = {}
    for line in LINES:
        if line.marker is None or line.marker.evaluate(there):
            name, (specifier,) = canonicalize_name(line.name), line.specifier
            assert specifier.operator == "==", f"{line} does not pin a version"
            assert name not in found, f"{name} is pinned twice on Python {python}"
            found[name] = specifier.version
    return found


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_requirement_of_every_extra_has_one_pin_within_its_bounds(python):
    found = pins(python)
    wanted = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in map(Requirement, itertools.chain(*wanted)):
        name = canonicalize_name(requirement.name)
        assert name in found, f"constraints.txt does not pin {name}"
        assert found[name] in requirement.specifier, f"{name}=={found[name]} is outside {requirement}"


def test_no_installed_package_refuses_the_pin_of_another():
    """Read what each pinned package that is installed asks of the others, gradio and Beam included where they are."""
    found = pins(default_environment()["python_version"])
    for name in found.keys() - {"jax2onnx"}:  # installed without its dependencies: it wants an older orbax-checkpoint
        for text in asked_by(name):
            requirement = Requirement(text)
            version = found.get(canonicalize_name(requirement.name))
            if version and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                assert version in requirement.specifier, f"{name} wants {requirement}; constraints.txt pins {version}"


def asked_by(name):
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
