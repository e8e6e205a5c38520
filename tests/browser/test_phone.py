"""The page of `vidjax demo` on a phone: everything is on the screen, and every name can be read."""

import itertools

import pytest
from random_runs import write_run
from videos import encode, moving_texture

from vidjax.main import read_config

PHONE = {"width": 390, "height": 844}
# As long as the longest of Kinetics, in as many words, and one word that no line of a phone can hold.
CLASSES = (
    "using a sledge hammer beside the track", "passing american football (not in game)", "opening bottle (not wine)",
    "riding or walking with horse", "shooting goal (soccer)", "punching person (boxing)", "tango dancing",
    "Rindfleischetikettierungsueberwachungsaufgabe",
)  # fmt: skip

# Elements that end right of the screen. gradio measures copies of its tabs there, which nobody sees.
OUTSIDE = """() => [...document.querySelectorAll('.vj-header *, [id^="vj-"], [id^="vj-"] *')]
    .filter((part) => part.checkVisibility() && !part.closest(".visually-hidden"))
    .filter((part) => part.getBoundingClientRect().right > innerWidth + 0.5)
    .map((part) => part.outerHTML.slice(0, 80))"""
CUT_OFF = """(parts) => parts.filter((part) => part.checkVisibility())
    .filter((part) => part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1)
    .map((part) => part.textContent)"""


@pytest.fixture(scope="session")
def phone_site(browser, serve, runs, tmp_path_factory):
    """A page of a classifier whose classes have long names, another classifier and an autoencoder."""
    folder = tmp_path_factory.mktemp("long") / "a-model-whose-name-is-nearly-as-wide-as-a-phone"
    write_run(folder, read_config(["--config=motion_finetune"]), len(CLASSES), CLASSES, scale=0.3)
    return serve(*(f"--model={path}" for path in (folder, runs / "first", runs / "hider")))


@pytest.fixture(scope="session")
def long_video(tmp_path_factory):
    path = tmp_path_factory.mktemp("phone") / "a-street-on-the-last-sunday-of-november-in-the-rain.mp4"
    path.write_bytes(encode(moving_texture(1500, 48, 48), rate=10, options={"crf": "45"}))
    return path


@pytest.fixture
def phone(visit, phone_site, long_video):
    """The page of a visitor with a phone, after a video of two and a half minutes."""
    page = visit(phone_site, is_mobile=True, has_touch=True)
    page.set_viewport_size(PHONE)
    page.locator("#vj-drop input[type=file]").set_input_files(long_video)
    page.locator("#vj-answer .vj-bars").wait_for()
    page.locator(".vj-columns button").first.wait_for()
    return page


def show(page, tab):
    """Open a tab; those that do not fit are in gradio's menu beside the others."""
    tabs = page.locator("#vj-tabs")
    if not tabs.get_by_role("tab", name=tab).is_visible():
        tabs.locator(".overflow-menu > button").click()
        tabs.locator(".overflow-dropdown").get_by_text(tab).click()
    else:
        tabs.get_by_role("tab", name=tab).click()


def boxes(found):
    return [part.bounding_box() for part in found.all()]


def test_the_names_of_classes_are_whole(phone):
    labels, names = phone.locator("#vj-answer .vj-label"), phone.locator(".vj-names span")
    assert labels.count() == 5
    assert names.count() > 0
    for found in (labels, names):
        assert set(found.all_inner_texts()) <= set(CLASSES)
        assert found.evaluate_all(CUT_OFF) == []


def test_the_times_below_the_timeline_do_not_touch(phone):
    marks = phone.locator(".vj-marks span")
    assert marks.all_inner_texts() == ["0:00", "0:30", "1:00", "1:30", "2:00", "2:30"]
    found = boxes(marks)
    for left, right in itertools.pairwise(found):
        assert left["x"] + left["width"] + 4 < right["x"]
        assert left["y"] == right["y"]
    columns = phone.locator(".vj-columns").bounding_box()
    assert found[-1]["x"] + found[-1]["width"] <= columns["x"] + columns["width"] + 1
    assert columns["width"] > 0.75 * PHONE["width"]


def test_nothing_is_wider_than_the_screen(phone):
    drawn = {
        "Answer": "#vj-frames img",
        "Reconstruction": "#vj-pictures img",
        "Attention": "#vj-attention img",
        "Compare": "#vj-of-other .vj-bars",
    }
    for tab, part in drawn.items():
        show(phone, tab)
        phone.locator(part).first.wait_for()
        assert phone.evaluate(OUTSIDE) == []
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert phone.locator("#vj-of-one .vj-label").evaluate_all(CUT_OFF) == []
    for tab in ("Record", "Examples", "Drop a video"):
        phone.get_by_role("tab", name=tab).click()
        assert phone.evaluate(OUTSIDE) == []
    phone.locator("summary").click()
    assert phone.evaluate(OUTSIDE) == []


def test_a_tap_on_the_timeline_moves_the_player(phone):
    segment = phone.locator(".vj-columns button").nth(30)
    start = float(segment.get_attribute("data-start"))
    segment.tap()
    phone.wait_for_function(f"() => Math.abs(document.querySelector('#vj-player video').currentTime - {start}) < 0.1")
