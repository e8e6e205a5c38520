"""The tabs of `vidjax demo` for a model with a text tower, in a real browser: classes in words, and a search."""

import json

import pytest
from clip_folder import write_clip
from videos import encode, moving_texture

from vidjax.cli import main

CLASSES = ("riding a bike", "cooking", "a dog jumping")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny CLIP with random weights, three videos, and their index."""
    folder = tmp_path_factory.mktemp("secret-place")
    write_clip(folder / "clip")
    (folder / "videos").mkdir()
    for number in range(3):
        (folder / "videos" / f"film{number}.mp4").write_bytes(encode(moving_texture(40, 48, 64, seed=number), rate=10))
    words = ["index", str(folder / "videos"), "--model", str(folder / "clip"), "--every", "2"]
    assert main([*words, "--out", str(folder / "films")]) == 0
    return folder


@pytest.fixture(scope="module")
def words(serve, folder, browser):
    return serve(f"--model={folder / 'clip'}", f"--index={folder / 'films'}")


def video(folder):
    return str(folder / "videos" / "film1.mp4")


def drop(page, path):
    page.locator("#vj-drop input[type=file]").set_input_files(path)


def test_classes_in_words_are_answered_as_predict_does(visit, words, folder, capsys):
    capsys.readouterr()
    assert main(["predict", video(folder), "--model", str(folder / "clip"), "--classes", *CLASSES, "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)[0]["top"]
    page = visit(words)
    page.get_by_role("tab", name="Classes").click()
    answer = page.locator("#vj-words")
    answer.get_by_text("Name at least two classes").wait_for()
    drop(page, video(folder))
    page.locator("#vj-classes textarea").fill("\n".join(CLASSES))
    page.locator("#vj-ask").click()
    answer.locator(".vj-bars").wait_for()
    shares = answer.locator(".vj-share").all_inner_texts()
    assert shares == [f"{each['probability']:.1%}" for each in wanted]
    shown = answer.inner_text()
    places = [shown.index(each["label"]) for each in wanted]
    assert places == sorted(places)
    assert page.locator("#vj-words-frames img").count() > 0


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ("cooking", "'cooking' is the only class"),
        ("cooking\na dog\ncooking", "is both class 1 and class 3"),
        ("cooking\n" + "a very long sentence " * 20, "tokens"),
    ],
)
def test_classes_that_cannot_be_compared_are_a_sentence(visit, words, folder, classes, sentence):
    page = visit(words)
    page.get_by_role("tab", name="Classes").click()
    drop(page, video(folder))
    page.locator("#vj-classes textarea").fill(classes)
    page.locator("#vj-ask").click()
    page.locator("#vj-words .vj-error").wait_for()
    said = page.locator("#vj-words").inner_text()
    assert sentence in said
    assert "secret-place" not in said
    assert "Traceback" not in words.said()


def test_a_search_shows_moments_like_the_video_and_as_described(visit, words, folder, capsys):
    capsys.readouterr()
    assert main(["search", str(folder / "films"), "a photo of a dog jumping", "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)["moments"][0]
    page = visit(words)
    page.get_by_role("tab", name="Search").click()
    drop(page, video(folder))
    like, described = page.locator("#vj-like figure"), page.locator("#vj-described figure")
    like.first.wait_for()
    assert "film1.mp4" in like.first.inner_text()  # the same pictures
    assert like.first.locator("img").evaluate("image => image.complete && image.naturalWidth > 0")
    box = page.locator("#vj-search textarea, #vj-search input")
    box.fill("a photo of a dog jumping")
    box.press("Enter")
    described.first.wait_for()
    assert f"{wanted['score']:.3f}" in described.first.inner_text()
    assert wanted["video"].rpartition("/")[2] in described.first.inner_text()
    assert "secret-place" not in page.content()


def test_a_text_that_is_too_long_is_a_sentence(visit, words):
    page = visit(words)
    page.get_by_role("tab", name="Search").click()
    box = page.locator("#vj-search textarea, #vj-search input")
    box.fill("a dog jumps " * 20)
    box.press("Enter")
    page.locator("#vj-described .vj-error").wait_for()
    said = page.locator("#vj-described").inner_text()
    assert "tokens" in said
    assert "secret-place" not in said


def test_no_two_parts_of_the_page_have_the_same_id(visit, words):
    """A label, a style or a test that names an id would otherwise find another part."""
    page = visit(words)
    page.get_by_role("tab", name="Search").click()
    ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map((part) => part.id)")
    ours = [each for each in ids if each.startswith("vj-")]
    assert len(ours) == len(set(ours)) > 5
