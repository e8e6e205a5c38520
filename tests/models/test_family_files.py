"""Adding a family to the package touches only its own files: model, published figures, weight rules."""

import sys
import textwrap

import pytest

import vidjax
import vidjax.models.zoo
import vidjax.weights.families
from vidjax import registry
from vidjax.cli import main
from vidjax.models import FAMILIES, family_of, model_names
from vidjax.models.zoo import describe, usual_clip
from vidjax.weights import checkpoint_layouts

MODEL = """
    from vidjax.models.family import Family
    from vidjax.models.timesformer import TimeSformerClassifier, TimeSformerSpec

    SIZES = {"tiny": TimeSformerSpec(8, 1, 2, 16, patch_size=8, num_frames=4, image_size=16)}
    FAMILY = Family("Clockwork", SIZES, TimeSformerClassifier)
"""
ZOO = """
    from vidjax.models.zoo_types import Published, Result

    PUBLISHED = {"tiny": Published((Result("UCF101", 50.5, None, 2, 1, 3, "a page", weights="a file"),))}
"""
RULES = """
    from vidjax.weights.checkpoint_layouts import Layout

    LAYOUTS = (Layout("Clockwork, official", lambda keys, config: "spring" in keys, None),)
"""


@pytest.fixture
def clockwork(tmp_path, monkeypatch):
    """The three files of a family, as if they were in the package."""
    for package, source in ((vidjax.models, MODEL), (vidjax.models.zoo, ZOO), (vidjax.weights.families, RULES)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "clockwork.py").write_text(textwrap.dedent(source))
        package.__path__.append(str(folder))
    clear()
    yield "clockwork_tiny"
    for package in (vidjax.models, vidjax.models.zoo, vidjax.weights.families):
        package.__path__.remove(str(tmp_path / package.__name__))
        sys.modules.pop(f"{package.__name__}.clockwork", None)
    clear()


def clear():
    """Forget which files there are."""
    registry.names_in.cache_clear()
    checkpoint_layouts.all_layouts.cache_clear()


def test_a_family_needs_only_its_own_files(clockwork, capsys):
    assert "clockwork" in FAMILIES
    assert clockwork in model_names()
    assert family_of(clockwork) == ("clockwork", "tiny")
    assert vidjax.build_model(clockwork, num_classes=3).spec.width == 8
    assert describe(clockwork)["results"][0]["top1"] == 50.5
    assert usual_clip("clockwork", FAMILIES["clockwork"].specs["tiny"], 101).stride == 3
    assert main(["models", "--family", "clockwork"]) == 0
    assert "50.5" in capsys.readouterr().out
    assert [layout.name for layout in checkpoint_layouts.all_layouts() if layout.recognises({"spring"}, None)] == [
        "Clockwork, official"
    ]


def test_a_model_file_without_published_figures_is_not_a_family():
    """Such as `gpt2`, which takes no clips, and the files that families share."""
    assert "clockwork" not in FAMILIES
    assert {"gpt2", "layers", "captioner", "spec"}.isdisjoint(FAMILIES)
