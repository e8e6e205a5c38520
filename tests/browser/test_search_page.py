"""The page that `vidjax search --html` writes, in a real browser: its moments play, on a desk and on a phone."""

import pytest
from videos import encode, moving_texture

from vidjax.cli import main

SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a search for moments like a video with a long name."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "films").mkdir()
    for name in ("first", "second", "third-of-the-films-of-the-last-sunday-in-november"):
        content = encode(moving_texture(40, 48, 64, seed=len(name)), rate=10)
        (folder / "films" / f"{name}.mp4").write_bytes(content)
    query = folder / "films" / f"{name}.mp4"
    words = ["index", str(folder / "films"), "--model", "random:videomae_tiny", "--every", "0.8"]
    assert main([*words, "--out", str(folder / "index")]) == 0
    assert main(["search", str(folder / "index"), "--video", str(query), "--html", str(folder / "found.html")]) == 0
    return folder / "found.html"


@pytest.mark.parametrize("size", SIZES)
def test_the_query_and_every_moment_play_and_nothing_is_wider_than_the_screen(browser, written, size):
    context = browser.new_context(viewport=SIZES[size])
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.as_uri())
    videos = page.locator("video")
    assert videos.count() == page.locator(".card").count() + 1 >= 3
    for number in range(videos.count()):
        video = videos.nth(number)
        video.scroll_into_view_if_needed()
        video.evaluate(PLAYS)
        assert video.evaluate("video => video.videoWidth > 0 && video.error === null")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    heading = page.locator("h1").bounding_box()
    assert heading["width"] > 250  # not squeezed into the space beside the query
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


# A promise that is kept when the picture has changed: a short video may loop, so its time may also fall.
PLAYS = """video => new Promise((done) => {
    const begun = video.currentTime;
    const look = () => video.readyState >= 2 && video.currentTime !== begun ? done() : setTimeout(look, 50);
    look();
})"""
