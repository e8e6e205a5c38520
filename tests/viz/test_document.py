"""A report's HTML is self-contained, and names stay text."""

import pytest
from pages import Page, check_stands_alone
from PIL import Image

from vidjax.viz.document import Code, Figures, Gallery, Heading, Picture, Table, Text, write_document

NASTY = '<script>alert(1)</script><img src=x onerror="alert(2)"> & \' " \udc80 \u202e \x1b[2J'


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a picture.png"
    Image.new("RGB", (4, 4)).save(path)
    return Picture(path, NASTY, zooms=True)


def test_names_stay_text_in_a_self_contained_page(tmp_path, picture):
    blocks = [
        Heading(NASTY),
        Text(NASTY),
        Code(NASTY),
        Figures([(NASTY, "share")]),
        Table((NASTY, "share"), [[NASTY, "1"]], [0.25]),
    ]
    write_document(tmp_path, NASTY, [*blocks, picture, Gallery([picture, picture])])
    page = check_stands_alone(tmp_path / "report.html")
    assert len(page.named("img")) == 3
    assert all(attributes["alt"].startswith("<script>") for attributes in page.named("img"))
    assert (
        page.text.count("<script>alert(1)</script>") == 12
    )  # title twice, its link, heading, text, code, figure, 2 cells, 3 pictures
    assert "\\u202e" in page.text
    assert "\\udc80" in page.text
    assert "\x1b" not in page.text
    assert [float(bar["value"]) for bar in page.named("meter")] == [0.25]


def test_links_at_the_top_lead_to_the_sections(tmp_path):
    write_document(tmp_path, "t", [Heading("One"), Text("a"), Heading("Two"), Heading("One")])
    page = Page((tmp_path / "report.html").read_text())
    targets = [attributes["id"] for attributes in page.named("h2")]
    assert [link["href"] for link in page.named("a")] == [f"#{target}" for target in targets]
    assert len(set(targets)) == 3


def test_a_long_table_is_folded_unless_forbidden(tmp_path):
    rows = [[str(number)] for number in range(400)]
    write_document(tmp_path, "t", [Table(("n",), rows), Table(("n",), rows, folds=False), Table(("n",), rows[:3])])
    page = Page((tmp_path / "report.html").read_text())
    assert len(page.named("details")) == 1
    assert len(page.named("tr")) == 401 + 401 + 4


def test_a_name_with_a_line_break_and_a_bar_stays_in_its_markdown_cell(tmp_path):
    text = write_document(tmp_path, "t", [Table(("class", "n"), [["a|b\nc", "1"]])]).read_text()
    assert text.splitlines()[-1] == r"| a\|b c | 1 |"
