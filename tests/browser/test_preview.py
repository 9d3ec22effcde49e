"""The page of `hf-toedit preview --html`, opened from a file, without a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import WIDTHS, Chromium
from tests.browser.pages import Picture
from tests.browser.server import hf_toedit


@pytest.fixture(scope="module")
def page(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the page of two documents over two generations, and return its address."""
    path: Path = tmp_path_factory.mktemp("preview") / "page.html"
    eager = ("--threshold", 0.9, "--temperature", 4)
    hf_toedit("preview", "sample", "-n", 2, "--generations", 2, *eager, "--html", path)
    return path.as_uri()


def test_it_tells_of_its_tokens(browser: Chromium, page: str) -> None:
    browser.open(page)
    picture = Picture(browser)
    assert picture.changed()
    assert len(browser.all(".te-frame")) == 4
    browser.point_at(picture.tokens(".te-changed")[0])
    said = browser.until(picture.tip, "the tooltip is shown")
    assert re.search(r", rank 1\nselected and changed, [a-z ]+\n", said)
    browser.press(Keys.ESCAPE)
    assert picture.tip() is None, "it covers the text below it"
    picture.tokens()[0].click()
    browser.press(Keys.ARROW_RIGHT)
    assert picture.focused() == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(browser: Chromium, page: str, width: int, scheme: str) -> None:
    browser.size(width)
    browser.colours(scheme)
    browser.open(page)
    assert browser.barriers() == []
    assert browser.overflow() == 0
