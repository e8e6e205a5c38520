"""The documentation site: its pages are reachable, their links lead somewhere, and the reference leaves nothing out."""

import importlib.util
import pathlib
import re

import pytest

import vidjax
import vidjax.errors

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(page: pathlib.Path) -> str:
    """A page without its code blocks and inline code."""
    return re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, on GitHub and on the site."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "") for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in plain}


def test_the_navigation_has_every_page_once():
    listed = re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1])
    assert sorted(listed) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_a_page_and_a_heading(name):
    """Links that leave docs/ are those to GitHub's copy: the site has no other files."""
    page, checked = DOCS / name, load("site")
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(checked.REPOSITORY):
            path = link.removeprefix(checked.REPOSITORY).split("/", 2)[-1].partition("#")[0]
            assert (ROOT / path).exists(), link
        elif "://" not in link:
            place, _, anchor = link.partition("#")
            target = (page.parent / place).resolve() if place else page
            assert DOCS in target.parents, f"{link}: write it as {checked.REPOSITORY}blob/main/..."
            assert target.is_file(), link
            assert not anchor or anchor in anchors(target), link


def test_the_readme_has_at_most_120_lines_and_its_code_needs_no_scrolling():
    """GitHub shows about 100 characters of a line of code on a desktop, and cuts off the rest."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    code = "\n".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL))
    assert [line for line in code.splitlines() if len(line) > 100] == []


def test_no_page_is_empty():
    """A heading and a list of names is not a page: each has a sentence of its own."""
    for name in PAGES:
        lines = prose(DOCS / name).splitlines()
        words = " ".join(line for line in lines if not line.startswith(("#", ":::", "<!--", "|"))).split()
        assert len(words) >= 15, name


def test_pictures_are_all_shown_and_small():
    shown = "\n".join(page.read_text() for page in (ROOT / "README.md", *(DOCS / name for name in PAGES)))
    sizes = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert set(re.findall(r"\bimages/([\w.-]+)", shown)) == set(sizes)
    assert max(sizes.values()) < 1_000_000


def test_the_reference_has_every_public_name():
    shown = set(re.findall(r"^::: ([\w.]+)$", "\n".join((DOCS / name).read_text() for name in PAGES), re.MULTILINE))
    names = {
        f"{room.__name__}.{name}"
        for room in (vidjax, vidjax.data, vidjax.ops, vidjax.weights)
        for name in room.__all__
        if not name.startswith("__")
    }
    errors = (kind for kind in vars(vidjax.errors).values() if isinstance(kind, type) and issubclass(kind, Exception))
    names |= {f"vidjax.errors.{kind.__name__}" for kind in errors}
    assert names - {"vidjax.weights.from_pretrained"} <= shown  # which is vidjax.from_pretrained


def test_dead_links_of_built_pages_are_found(tmp_path):
    (tmp_path / "repository" / "vidjax").mkdir(parents=True)
    site = tmp_path / "site"
    (site / "there").mkdir(parents=True)
    (site / "there" / "index.html").write_text('<h2 id="here">Here</h2><a href="..">up</a>')
    repository = "https://github.com/vidjax/vidjax/blob/main"
    alive = ["there/", "there/#here", "#top", "https://example.org/x", "mailto:x@y.z", f"{repository}/vidjax"]
    dead = ["gone/", "there/#gone", "#gone", "picture.png", f"{repository}/gone.py"]
    links = "".join(f'<a href="{link}">x</a>' for link in [*alive, *dead])
    (site / "index.html").write_text(f'<p id="top">{links}<img src="gone.png"></p>')
    found = load("site").dead_links(site, tmp_path / "repository")
    assert found == [f"index.html: {link}" for link in [*dead, "gone.png"]]


def test_docstrings_are_rewritten_for_the_reference():
    griffe = pytest.importorskip("griffe", reason="the parser of the reference (extra: docs)")
    text = (
        "Add.\n\nArgs:\n  a, b: numbers,\n    of any size.\n  c: another: one.\n\nExample:\n  >>> add(1, 2, 3)\n  6\n"
    )
    function = griffe.Function("add", docstring=griffe.Docstring(text))
    load("site_docstrings").Docstrings().on_object(obj=function)
    assert function.docstring.value == (
        "Add.\n\nArgs:\n  a: numbers,\n    of any size.\n  b: numbers,\n    of any size.\n  c: another: one.\n\n"
        "Examples:\n  >>> add(1, 2, 3)\n  6"
    )
