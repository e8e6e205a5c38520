"""`make audit`: advisories are reported, and packages that could not be looked up never count as safe."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
OWN = {"name": "vidjax", "skip_reason": "Dependency not found on PyPI and could not be audited"}
UNKNOWN = {"name": "jax", "skip_reason": "Dependency not found on PyPI and could not be audited: jax (0.10.2)"}
BAD = {
    "name": "pillow",
    "version": "9.0.0",
    "vulns": [{"id": "PYSEC-2023-175", "fix_versions": ["10.0.1"], "aliases": ["CVE-2023-4863"], "description": "..."}],
}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("audit_script", ROOT / "scripts" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ([[SOUND, OWN]], 0, "1 packages, none with a known advisory\n"),
        ([[SOUND, BAD]], 1, "pillow 9.0.0: PYSEC-2023-175, fixed in 10.0.1\n1 known advisories in 1 packages\n"),
        ([None, None], 2, "no advisory service could be reached from here: run `make audit` on a machine that"),
        ([[UNKNOWN], [UNKNOWN]], 2, "no advisory service could be reached from here"),  # a mirror without advisories
        ([[SOUND, UNKNOWN], None], 2, "1 packages could not be looked up (jax): run `make audit`"),
        (
            [[UNKNOWN, SOUND], [SOUND, SOUND]],
            0,
            "2 packages, none with a known advisory\n",
        ),  # the second service answers
        ([[BAD, UNKNOWN], None], 1, "1 packages could not be looked up (jax)"),
    ],
)
def test_the_exit_code_is_0_only_if_all_packages_are_known_and_sound(answers, code, told, script, capsys):
    asked = iter(answers)

    def ask(service, folder):
        assert folder == "site-packages"
        found = next(asked)
        return found and {"dependencies": found, "fixes": []}

    assert script.main(["site-packages"], ask) == code
    assert told in capsys.readouterr().out
    assert list(asked) == []


def test_without_pip_audit_there_is_no_answer_and_no_traceback(script, monkeypatch):
    monkeypatch.setattr(script.sys, "executable", "/bin/false")
    assert script.ask_pip_audit("pypi", "site-packages") is None
