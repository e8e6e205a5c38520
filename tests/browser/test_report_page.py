"""Reports in a real browser, on a desk and on a phone."""

import json

import pytest

from vidjax.config import Config, to_saved
from vidjax.viz import report
from vidjax.viz.curves import Curve

FIGURES = {"eval/top1": 0.8, "eval/f1/counter_clockwise": 0.5, "eval/num_scored": 9, "eval/num_expected": 9}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The report of a run with curves, classes and times."""
    run = tmp_path_factory.mktemp("run")
    lines = [{"step": step, "train/loss": 1 / step, "train/lr": 0.1, "val/top1": step / 30} for step in range(1, 31)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "config.json").write_text(json.dumps(to_saved(Config())))
    (run / "results.json").write_text(json.dumps(FIGURES))
    (run / "goodput.json").write_text(json.dumps([{"seconds": {"start": 50.0, "step": 186.0, "data": 262.0}}]))
    report.write_run_report(run, (Curve("val/top1", "top-1 accuracy", fraction=True),))
    return run / "report.html"


@pytest.fixture
def opened(browser, page_file):
    pages = []

    def open_page(width):
        page = browser.new_page(viewport={"width": width, "height": 800})
        pages.append(page)
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1100, 360])
def test_the_page_never_scrolls_sideways(opened, width):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_on_a_phone_curves_keep_a_legible_width_inside_a_box_that_scrolls(opened):
    page = opened(360)
    picture, box = page.locator(".zoom img").first, page.locator(".zoom").first
    assert picture.bounding_box()["width"] > 600  # three panels of 200 pixels
    assert box.bounding_box()["width"] < 360
    assert opened(1100).locator(".zoom img").first.bounding_box()["width"] < 1100


def test_on_a_phone_the_bars_of_the_time_are_seen_without_scrolling(opened):
    page = opened(360)
    for bar in page.locator("meter").all():
        box = bar.bounding_box()
        assert box["x"] + box["width"] <= 360


def test_a_click_on_the_curves_shows_them_in_full_size(opened):
    page = opened(1100)
    picture = page.locator(".zoom img").first
    before = picture.bounding_box()["width"]
    picture.click()
    assert picture.bounding_box()["width"] == picture.evaluate("image => image.naturalWidth") > before
