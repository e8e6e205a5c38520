"""Builds the documentation site into `site/`, strictly: a warning or a dead link fails, with where it is.

    python scripts/site.py

Zensical checks the links of the pages. It neither counts what Griffe says of docstrings nor sees what mkdocstrings
writes, so the words of the build and the links of the finished HTML are checked here.
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
    """The links, the pictures and the anchors of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag points to, and what may be pointed to."""
        found = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := found.get(key))}
        self.links += [value for key in ("href", "src") if (value := found.get(key))]


def dead_links(site: pathlib.Path, root: pathlib.Path) -> list[str]:
    """A line for each link of a site that leads nowhere: to no page, no anchor, or no file of this repository.

    Args:
      site: the folder of the built pages.
      root: the folder of the repository, where links to GitHub's copy of a file are looked up.
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
        return True  # of others, which nobody may be asked about while a page is built
    place, _, anchor = link.partition("#")
    target = (path.parent / urllib.parse.unquote(place.partition("?")[0])).resolve() if place else path
    target = target / "index.html" if target.is_dir() else target
    if target not in pages:
        return target.is_file()
    return not anchor or urllib.parse.unquote(anchor) in pages[target].anchors


def main() -> int:
    """Build and check; the exit code."""
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
