"""Parse a page like a browser, and check that it fetches nothing."""

import html.parser
import pathlib
import re


class Page(html.parser.HTMLParser):
    """A parsed page: its tags with their attributes, its text, and whether tags are closed."""

    VOID = ("meta", "img", "input", "br", "wbr")

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def check_stands_alone(path: pathlib.Path) -> Page:
    """Check that a page has no script, and no URL that a browser would fetch."""
    page = Page(path.read_text())
    assert not page.open
    assert not page.named("script")
    assert not page.named("link")
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import", path.read_text())
    return page
