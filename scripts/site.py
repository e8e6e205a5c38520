"""Build the documentation site into `site/`, strictly.

A warning fails the build, and the build's output is printed. Otherwise dead links are listed, and a single one fails
the build.

    python scripts/site.py

Zensical checks the links of the pages, but it neither fails on Griffe's warnings about docstrings nor sees the pages
that mkdocstrings writes. So this script checks the build's output, and the links of the finished HTML.
"""

import html.parser
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).parents[1]
SITE = ROOT / "site"
REPOSITORY = "https://github.com/vidjax/vidjax/"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Page(html.parser.HTMLParser):
    """The links, images and anchors of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag's links and anchors."""
        found = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := found.get(key))}
        self.links += [value for key in ("href", "src") if (value := found.get(key))]


def dead_links(site: pathlib.Path, root: pathlib.Path) -> list[str]:
    """Return a line for each dead link of a site: to a missing page, anchor, or file of this repository.

    Args:
      site: the folder of the built pages.
      root: the folder of the repository, where links to this repository's files on GitHub are looked up.
    """
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in page.links
        if path.name != "404.html" and not _leads_somewhere(link, path, pages, root)
    ]


def _leads_somewhere(link: str, path: pathlib.Path, pages: dict[pathlib.Path, Page], root: pathlib.Path) -> bool:
    if link.startswith((f"{REPOSITORY}blob/main/", f"{REPOSITORY}tree/main/")):
        return (root / link.removeprefix(REPOSITORY).split("/", 2)[2].partition("#")[0]).exists()
    if urllib.parse.urlsplit(link).scheme or link.startswith("//"):
        return True  # links to other sites are not fetched while pages are built
    place, _, anchor = link.partition("#")
    target = (path.parent / urllib.parse.unquote(place.partition("?")[0])).resolve() if place else path
    target = target / "index.html" if target.is_dir() else target
    if target not in pages:
        return target.is_file()
    return not anchor or urllib.parse.unquote(anchor) in pages[target].anchors


def main() -> int:
    """Build and check the site; return the exit code."""
    program = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = COLOURS.sub("", done.stdout)
    wrong = [line for line in said.splitlines() if re.match(r"griffe:|\w*warning", line, re.IGNORECASE)]
    if done.returncode or wrong:
        print(said)
        return 1
    dead = dead_links(SITE.resolve(), ROOT)
    print(*(f"dead link in {line}" for line in dead), sep="\n", end="\n" if dead else "")
    print(f"site: {len(list(SITE.rglob('*.html')))} pages in {SITE.relative_to(ROOT)}/, {len(dead)} dead links")
    return int(bool(dead))


if __name__ == "__main__":
    sys.exit(main())
