"""Registries list a package's modules without importing them, and explain every name that does not work."""

import dataclasses
import subprocess
import sys
import textwrap

import pytest

from vidjax.errors import ConfigError
from vidjax.registry import Registry, names_in


@dataclasses.dataclass(frozen=True)
class Animal:
    """The spec that the modules of the toy package define."""

    legs: int


@pytest.fixture
def animals(tmp_path, monkeypatch):
    """A registry over a package created here, whose modules record that they were imported."""
    name = f"animals_{tmp_path.name}"
    (tmp_path / name).mkdir()
    define = f"from {__name__} import Animal\nANIMAL = Animal({{legs}})\n"
    for stem, source in {
        "__init__": "",
        "horse": define.format(legs=4),
        "bird": define.format(legs=2),
        "_feathers": "raise RuntimeError('a helper is not a spec')",
        "stone": "ANIMAL = 'none'",
        "empty": "",
        "broken": "raise RuntimeError('imported too early')",
    }.items():
        (tmp_path / name / f"{stem}.py").write_text(source)
    (tmp_path / f"outside_{name}.py").write_text(define.format(legs=8) + "OTHER = 3\n")
    (tmp_path / f"needs_{name}.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry(name, "ANIMAL", Animal, "an animal")


def test_names_are_the_public_modules_and_none_of_them_is_imported(animals):
    assert names_in(animals.package) == ("bird", "broken", "empty", "horse", "stone")
    assert list(animals) == list(names_in(animals.package))
    assert len(animals) == 5
    assert "horse" in animals
    assert "_feathers" not in animals
    assert f"{animals.package}.horse" not in sys.modules


def test_a_module_is_imported_when_its_spec_is_requested(animals):
    assert animals["horse"] == Animal(4)
    assert animals.find("bird") == Animal(2)


def test_a_module_outside_is_found_by_its_attribute(animals):
    assert animals.find(f"outside_{animals.package}:ANIMAL") == Animal(8)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hrose", "'hrose' is not an animal; did you mean 'horse'"),
        ("qqq", "'qqq' is not an animal; there are bird, broken, empty, horse, stone, or module:ATTR"),
        ("stone", "stone:ANIMAL has type str, not an animal; make it a .*Animal"),
        ("empty", "has no 'ANIMAL'; define ANIMAL = Animal"),
        ("outside_{package}:OTHER", "OTHER has type int, not an animal"),
        ("outside_{package}:ANIMALS", "has no 'ANIMALS'; it has ANIMAL"),
        ("nowhere_at_all:ANIMAL", "no module 'nowhere_at_all'.*PYTHONPATH"),
        ("nowhere_at_all.deeper:ANIMAL", "no module 'nowhere_at_all'"),
        (":ANIMAL", "names no animal; write module:ATTR"),
        ("horse:", "names no animal; write module:ATTR"),
    ],
)
def test_a_name_that_does_not_work_is_refused_in_one_sentence(animals, name, sentence):
    with pytest.raises(ConfigError, match=sentence) as refusal:
        animals.find(name.format(package=animals.package))
    assert "\n" not in str(refusal.value)


def test_a_missing_import_inside_a_users_module_keeps_its_traceback(animals):
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        animals.find(f"needs_{animals.package}:ANIMAL")


def test_it_is_a_mapping(animals):
    assert animals.get("unicorn") is None
    with pytest.raises(KeyError):
        animals["unicorn"]


def test_listing_the_names_of_a_package_leaves_its_modules_alone():
    code = textwrap.dedent("""
        import sys
        from vidjax.registry import names_in
        assert "kinetics400" in names_in("vidjax.data.datasets")
        assert not [name for name in sys.modules if name.startswith("vidjax.data.datasets.")]
        assert not {"jax", "numpy", "cv2"} & set(sys.modules)
    """)
    subprocess.run([sys.executable, "-c", code], check=True)
