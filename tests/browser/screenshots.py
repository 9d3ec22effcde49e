"""Takes the pictures in docs/ for `make screenshots`. Look at each picture before you commit it."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from hf_toedit.space.permalink import EditRequest, to_fragment
from tests.browser.chromium import WIDTHS, Chromium
from tests.browser.pages import Demo, Picture
from tests.browser.server import EAGER, GENERATIONS, edited_sample, hf_toedit, serving

TEXT = (
    "Once upon a time there was a little girl named Lily. She lived in a small house with her mom and dad. One day she "
    "saw a big red ball in the park, and she wanted to play with it.\n\n“Can I play with you?” she asked. The boy "
    "smiled and said yes. They played together all day long, and they were very happy."
)
_EVERYWHERE = ("edit", "dataset", "preview")
_ENOUGH = (("light", 1440), ("dark", 390))
"""Colour schemes and widths of the other states, which look similar to these."""

_MOST_BYTES = 150_000
_MOST_HEIGHT = 4000


def main(folder: Path) -> None:
    """Take all pictures."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        browser = stack.enter_context(Chromium(home / "chromium"))
        # Runs in the folder, so that pictures show no local path, and on a fixed port.
        address = stack.enter_context(serving(edited_sample(home).name, home, 7860))
        preview = home / "preview.html"
        hf_toedit("preview", "sample", "-n", 1, "--threshold", 0.9, "--temperature", 4, "--html", preview)
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                browser.size(width)
                browser.colours(scheme)
                for name in states(Demo(browser, address), preview.as_uri()):
                    if name in _EVERYWHERE or (scheme, width) in _ENOUGH:
                        keep(browser, folder / f"{name}-{scheme}-{width}.png", width)


def states(demo: Demo, preview: str) -> Iterator[str]:
    """Show the states one after the other, and yield their names."""
    browser = demo.browser
    asked = EditRequest(TEXT, generations=GENERATIONS, shown=1, **EAGER)
    demo.open(to_fragment(asked).removeprefix("#"))
    yield "edit"
    picture = Picture(browser)
    picture.tokens(".te-changed")[0].click()
    browser.until(picture.tip, "the tooltip is shown")
    yield "token"
    demo.type("Text", "")
    demo.edit()
    browser.shown("#te-refused .te-notice")
    demo.settle()
    browser.script("scrollTo(0, 0)")
    yield "refused"
    demo.tab("Look at a dataset")
    browser.shown(".te-row")
    demo.settle()
    yield "dataset"
    browser.shown("input[type='checkbox']").click()
    browser.until(lambda: "reverted" in browser.shown(".te-row h3").text, "the row is reverted")
    demo.settle()
    yield "reverted"
    browser.open(preview)
    yield "preview"


def keep(browser: Chromium, path: Path, width: int) -> None:
    """Save a picture of the page, up to a maximum height, with few colours."""
    browser.size(width, min(browser.script("return document.documentElement.scrollHeight"), _MOST_HEIGHT))
    browser.script("scrollTo(0, 0)")
    browser.script_later("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    image = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    browser.size(width)
    image.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > _MOST_BYTES:
        raise SystemExit(f"{path} is too large: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
