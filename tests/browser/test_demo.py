"""The demo in a real browser: user actions on both tabs, and whether the page shows the editor's results."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from hf_toedit import EditConfig, EditStats, PriorConfig, ToEditor, load_prior
from hf_toedit.editing.result import EditResult
from hf_toedit.picture.words import probability
from hf_toedit.place_kinds import KINDS
from hf_toedit.runs.store import RunFolder
from hf_toedit.space.permalink import EditRequest, to_fragment
from hf_toedit.space.rows import Row, RunRows
from tests.browser.chromium import WIDTHS, Chromium
from tests.browser.pages import Demo, Picture, as_shown
from tests.browser.server import EAGER, GENERATIONS

LINK = "Link to this page as it is"
TEXT = (
    "Once upon a time there was a little girl who lived in a village near the forest. Every day she went for a walk.\n"
    "One day she saw a <b>big</b> dog & said: “Hello!” The dog was very happy, and they played together all day long."
)
ASKED = EditRequest(TEXT, seed=7, generations=GENERATIONS, shown=GENERATIONS, **EAGER)


@pytest.fixture
def demo(browser: Chromium, address: str) -> Demo:
    """Open the demo as a first-time visitor."""
    return Demo(browser, address).open()


@cache
def editor(config: EditConfig) -> ToEditor:
    return ToEditor(load_prior(PriorConfig()), config)


def edited(request: EditRequest) -> list[EditResult]:
    """Return the editor's results for a request, one per generation."""
    results: list[EditResult] = []
    for _ in range(request.generations):
        results.append(editor(request.config).edit(results[-1] if results else [request.text]))
    return results


def check_picture(picture: Picture, result: EditResult) -> None:
    """Check that every token of the text is shown, and that changed and selected tokens match the result."""
    tokens = result.tokens(0)
    changed = [token for token in tokens if token.replacement is not None]
    assert picture.changed() == [(as_shown(token.text), as_shown(token.replacement or "")) for token in changed]
    selected = [token.text for token in tokens if token.selected and token.replacement is None]
    assert picture.texts(".te-selected:not(.te-changed)") == [as_shown(text) for text in selected]
    assert "".join(picture.texts(":not(.te-changed)")) == as_shown(
        "".join(token.text for token in tokens if token.replacement is None)
    )


def test_a_text_is_edited_as_by_the_editor(demo: Demo) -> None:
    demo.type("Text", TEXT)
    for label, value in (("Threshold", 0.9), ("Temperature", 4), ("Seed", 7), ("Generations", 3)):
        demo.slide(label, value)
    demo.edit()
    demo.read(LINK, f"{demo.address}/{to_fragment(ASKED)}")
    demo.settle()
    picture = Picture(demo.browser)
    results = edited(ASKED)
    assert all(result.stats.num_changed for result in results)
    for generation in (3, 1, 2):
        demo.choose("Generation", str(generation))
        demo.read(f"After generation {generation}", results[generation - 1].texts[0] or "")
        check_picture(picture, results[generation - 1])
    assert demo.value("Source") == TEXT
    check_table(demo.browser, [result.stats for result in results])
    assert "p ≥ 0.9" in demo.browser.shown(".te-histogram svg").get_attribute("aria-label")
    assert len(demo.browser.all(".te-threshold")) == 1
    demo.copy("After generation 2")
    assert demo.browser.clipboard() == results[1].texts[0]


def check_table(browser: Chromium, stats: list[EditStats]) -> None:
    rows = [row.text.split() for row in browser.all(".te-generations table:first-child tbody tr") if row.is_displayed()]
    wanted = [[f"{each.num_tokens:,}", f"{each.num_selected:,}", f"{each.selected_rate:.2%}"] for each in stats]
    assert [row[1:4] for row in rows] == wanted


def test_a_token_tells_what_the_prior_said(demo: Demo) -> None:
    """The tooltip opens with a pointer and with the keyboard."""
    picture = Picture(demo.browser)
    assert picture.tip() is None
    (first, *_) = picture.tokens(".te-changed")
    demo.browser.point_at(first)
    demo.browser.until(picture.tip, "the tooltip is shown")
    (token, *_) = [each for each in edited(first_request(demo))[0].tokens(0) if each.replacement is not None]
    said = picture.tip() or ""
    assert said.startswith(
        f"“{token.text}”\np {token.probability:.4f}, rank 1\nselected and changed, {KINDS[token.kind or '']}\n"
    )
    listed = [line for line in said.splitlines() if line.startswith("“")][1:]
    assert [line.split("”")[0][1:] for line in listed[:8]] == [text for text, _ in token.candidates]
    assert [line.split()[-1] for line in listed[:8]] == [probability(p) for _, p in token.candidates]
    assert [line for line in listed if " sampled " in line][0].startswith(f"“{token.replacement}”")

    first.click()
    at = picture.focused()
    demo.browser.press(Keys.ARROW_RIGHT)
    assert picture.focused() == at + 1 and picture.tip() not in (None, said)
    demo.browser.press(Keys.ARROW_LEFT)
    assert picture.focused() == at and picture.tip() == said
    demo.browser.press(Keys.HOME)
    assert picture.focused() == 0
    demo.browser.press(Keys.END)
    assert picture.focused() == len(picture.tokens()) - 1
    demo.browser.press(Keys.ESCAPE)
    assert picture.tip() is None
    demo.browser.press(Keys.TAB)
    assert picture.focused() == -1
    demo.browser.press(Keys.TAB, shift=True)
    assert picture.focused() == len(picture.tokens()) - 1


def first_request(demo: Demo) -> EditRequest:
    """Return the request that a first-time visitor sees."""
    request = EditRequest(demo.value("Text"))
    sliders = {"Threshold": request.threshold, "Candidates (k)": request.top_k, "Temperature": request.temperature}
    assert {label: demo.stands_at(label) for label in sliders} == sliders
    return request


def test_results_that_are_out_of_date_are_marked_until_they_are_made_again(demo: Demo) -> None:
    """The notice is accessible to screen readers, and Ctrl+Enter edits again."""
    browser = demo.browser
    assert out_of_date(browser) is None
    text = demo.value("Text")
    box = demo.field("Text")
    box.send_keys(Keys.END, " Good day.")
    browser.until(lambda: out_of_date(browser), "the results are marked")
    said = "return document.querySelector('.te-live').textContent"
    browser.until(lambda: browser.script(said).startswith("Out of date: "), "the mark is read out")
    assert browser.script("return getComputedStyle(document.querySelector('.te-frame')).filter") == "grayscale(1)"
    assert browser.barriers() == []
    box.send_keys(Keys.BACKSPACE * len(" Good day."))
    browser.until(lambda: out_of_date(browser) is None, "the mark is gone, as the results are of this text")
    assert demo.value("Text") == text
    demo.type("Text", TEXT)
    browser.until(lambda: out_of_date(browser), "the results are marked")
    box.send_keys(Keys.CONTROL, Keys.ENTER)
    demo.read("Source", TEXT)
    browser.until(lambda: out_of_date(browser) is None, "the mark is gone")
    assert demo.value("Text") == TEXT
    demo.type("Prior", "org/name")
    browser.until(lambda: out_of_date(browser), "the results are marked")
    demo.field("Prior").send_keys(Keys.CONTROL, Keys.ENTER)
    browser.until(lambda: "Hub" in browser.shown("#te-refused .te-notice").text, "the prior is refused")
    assert out_of_date(browser)


def out_of_date(browser: Chromium) -> str | None:
    """Return the notice that results do not match the current text and settings, or None."""
    return browser.script("return document.querySelector('.te-stale')?.textContent")


def test_one_click_selects_a_share_of_any_text(demo: Demo) -> None:
    """The share refers to the text in the box, whether or not it was edited before."""
    demo.type("Text", "Zorp qux! " * 5 + TEXT)
    demo.browser.shown(".te-stale")
    demo.browser.shown("#te-share").click()
    demo.read("Source", "Zorp qux! " * 5 + TEXT)
    demo.settle()
    threshold = demo.stands_at("Threshold")
    result = editor(EditConfig(threshold=threshold)).edit([demo.value("Text")])
    assert 0.05 <= result.stats.selected_rate < 0.2
    check_picture(Picture(demo.browser), result)
    assert demo.browser.shown("#te-share").text == f"Select 5% (p ≥ {threshold:g})"
    assert out_of_date(demo.browser) is None


def test_presets_are_one_click(demo: Demo) -> None:
    text = demo.value("Text")
    demo.slide("Threshold", 0.5)
    for press, config in (
        (lambda: demo.choose("What may be edited", demo.browser.all("#te-preset label")[1].text.strip()),
         EditConfig.from_preset("careful", threshold=0.5)),
        (lambda: demo.button("The paper's settings"), EditConfig.from_preset("formula")),
        (lambda: demo.button("hf-toedit's defaults"), EditConfig()),
    ):  # fmt: skip
        press()
        result = editor(config).edit([text])
        selected = f"Of {result.stats.num_tokens:,} tokens, {result.stats.num_selected:,} "
        until_said(demo, selected)
        demo.settle()
        check_picture(Picture(demo.browser), result)
        assert (demo.stands_at("Threshold"), demo.stands_at("Temperature")) == (config.threshold, config.temperature)


def until_said(demo: Demo, words: str) -> None:
    demo.browser.until(lambda: demo.browser.shown(".te-said").text.startswith(words), f"{words!r} is said")


def test_a_phone_shows_the_results_when_they_are_made(browser: Chromium, address: str) -> None:
    browser.size(390)
    demo = Demo(browser, address).open()
    top = "return document.querySelector('#te-results').getBoundingClientRect().top"
    assert browser.script(top) > WIDTHS[390]
    demo.edit()
    browser.until(lambda: abs(browser.script(top)) < 2, "the results are at the top of the window")
    demo.settle()
    demo.type("Text", "")
    demo.edit()
    browser.shown("#te-refused .te-notice")
    seen = "return document.querySelector('#te-refused').getBoundingClientRect().bottom"
    browser.until(lambda: 0 < browser.script(seen) <= WIDTHS[390], "the reason is in the window")


def test_a_generation_is_compared_with_the_source(browser: Chromium, address: str) -> None:
    demo = Demo(browser, address).open(to_fragment(ASKED).removeprefix("#"))
    results = edited(ASKED)
    demo.choose("Compared with", "The source")
    for generation in (3, 2):
        demo.choose("Generation", str(generation))
        table = results[generation - 1].documents[0].table
        assert table
        heading = f"Source and after generation {generation}"
        browser.until(partial(lambda text: browser.shown(".te-against h2").text == text, heading), "it is shown")
        diff = browser.shown(".te-against .te-diff")
        assert browser.script(MARKED, diff, "del") == [as_shown(edit.source) for edit in table.edits if edit.source]
        assert "".join(browser.script(KEPT, diff)) == as_shown(table.text)
        assert not any(each.is_displayed() for each in browser.all(".te-text"))
    demo.choose("Compared with", "The previous generation")
    assert browser.shown(".te-text") and not browser.all(".te-against")[0].is_displayed()


MARKED = "return [...arguments[0].querySelectorAll(arguments[1])].map((each) => each.textContent)"
KEPT = "return [...arguments[0].childNodes].filter((each) => each.nodeName !== 'DEL').map((each) => each.textContent)"


def test_the_page_leads_to_the_paper_and_to_the_command(demo: Demo) -> None:
    links = {each.text: each.get_attribute("href") for each in demo.browser.all(".te-head a")}
    assert links["The paper"] == "https://arxiv.org/abs/2412.14689"
    demo.browser.shown(".te-own summary").click()
    assert "hf-toedit edit org/name" in demo.browser.shown(".te-own pre").text
    assert demo.browser.barriers() == []


def test_a_link_brings_everything_back(browser: Chromium, address: str) -> None:
    asked = EditRequest(TEXT, seed=5, top_k=16, generations=2, shown=1, **EAGER)
    demo = Demo(browser, address).open(to_fragment(asked).removeprefix("#"))
    results = edited(asked)
    demo.read("After generation 1", results[0].texts[0] or "")
    demo.settle()
    check_picture(Picture(browser), results[0])
    assert demo.value("Text") == TEXT
    sliders = {"Threshold": 0.9, "Candidates (k)": 16, "Temperature": 4, "Seed": 5, "Generations": 2}
    assert {label: demo.stands_at(label) for label in sliders} == sliders
    assert demo.value(LINK) == f"{address}/{to_fragment(asked)}"
    demo.choose("Generation", "2")
    demo.read("After generation 2", results[1].texts[0] or "")


def test_text_from_right_to_left_begins_at_the_right(browser: Chromium, address: str) -> None:
    Demo(browser, address).open(to_fragment(EditRequest("שלום English עולם")).removeprefix("#"))
    first, *_, last = Picture(browser).tokens()
    assert first.rect["x"] > last.rect["x"]
    assert browser.script("return getComputedStyle(document.querySelector('textarea')).unicodeBidi") == "plaintext"


def test_what_cannot_be_edited_is_said(demo: Demo) -> None:
    demo.type("Text", "")
    demo.edit()
    assert (
        demo.browser.shown("#te-refused .te-notice").text == "There is no text. Type or paste one, or take an example."
    )
    demo.type("Prior", "org/no such model")
    demo.type("Text", "Hello.")
    demo.edit()
    demo.browser.until(
        lambda: "no such model" in demo.browser.shown("#te-refused .te-notice").text, "the prior is refused"
    )
    demo.open("te1=broken")
    assert "This link" in demo.browser.shown("#te-refused .te-notice").text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_and_reach_it(browser: Chromium, address: str, width: int, scheme: str) -> None:
    """On a phone and on a desktop, light and dark, on both tabs: nothing is cut off, and axe finds no violation."""
    browser.size(width)
    browser.colours(scheme)
    demo = Demo(browser, address).open(to_fragment(ASKED).removeprefix("#"))
    demo.settle()
    assert browser.barriers() == []
    assert browser.overflow() == 0
    bright = sum(
        browser.script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")[:3]
    )
    assert (bright < 200) == (scheme == "dark")
    open_rows(demo)
    assert browser.barriers() == []
    assert browser.overflow() == 0


def test_the_keyboard_shows_where_it_is(demo: Demo) -> None:
    look = "return document.activeElement.outerHTML.slice(0, 120)"
    style = "const at = getComputedStyle(document.activeElement); return [at.outlineStyle, at.boxShadow]"
    for show in (lambda _: None, open_rows):
        show(demo)
        demo.browser.script("document.activeElement.blur(); scrollTo(0, 0)")
        seen = []
        while len(seen) < 60 and (not seen or not seen[-1].startswith("<body")):
            demo.browser.press(Keys.TAB)
            seen.append(demo.browser.script(look))
            assert seen[-1].startswith("<body") or demo.browser.script(style) != ["none", "none"], seen[-1]
        assert any('type="range"' in each for each in seen) and len(seen) < 60


def open_rows(demo: Demo) -> None:
    demo.tab("Look at a dataset")
    demo.browser.shown(".te-row")
    demo.settle()


@pytest.fixture(scope="module")
def rows(run: Path) -> RunRows:
    """Read the rows of the run directly."""
    folder = RunFolder(run)
    return RunRows(folder.plan(), folder, None, is_here=True)


def check_row(demo: Demo, row: Row) -> None:
    """Check that the page shows the edit log of a row."""
    (text,) = row.texts
    assert text.table
    browser = demo.browser
    browser.until(lambda: browser.shown(".te-row h3").text == f"Row {row.number} of train, generation {row.generation}",
                  f"row {row.number} is shown")  # fmt: skip
    diff = browser.shown(".te-row .te-diff")
    assert browser.script(MARKED, diff, "del") == [as_shown(edit.source) for edit in text.table.edits if edit.source]
    assert "".join(browser.script(KEPT, diff)) == as_shown(text.table.text)


def test_rows_of_a_run(demo: Demo, rows: RunRows) -> None:
    open_rows(demo)
    browser = demo.browser
    first = next(number for number in range(8) if rows.row(3, "train", number).counts["num_changed"])
    check_row(demo, rows.row(3, "train", first))
    demo.type("Row", f"0{Keys.ENTER}")
    check_row(demo, rows.row(3, "train", 0))
    assert len(browser.all(".te-charts figure")) >= 2
    demo.button("Next row")
    check_row(demo, rows.row(3, "train", 1))
    demo.choose("Generation", "1")
    check_row(demo, rows.row(1, "train", 1))
    demo.button("Previous row")
    check_row(demo, rows.row(1, "train", 0))
    demo.button("Previous row")
    browser.until(lambda: "This is the first row." in browser.shown(".te-notice").text, "the first row is said to be")

    check_reverted(demo, rows.row(1, "train", 0))
    shares = [share(rows.row(1, "train", number)) for number in range(8)]
    least = sorted(shares)[-2]
    demo.slide("Changed, at least %", int(1000 * least) / 10)
    fitting = [number for number, found in enumerate(shares) if found >= least]
    for number in [each for each in fitting if each > 0]:
        demo.button("Next row")
        check_row(demo, rows.row(1, "train", number))
    demo.button("Next row")
    browser.until(lambda: "No row after" in browser.shown(".te-notice").text, "no further row fits")


def share(row: Row) -> float:
    """Return the fraction of a row's tokens that changed."""
    return row.counts["num_changed"] / row.counts["num_tokens"]


def check_reverted(demo: Demo, row: Row) -> None:
    """Check that Revert shows the source, and that going back shows the edits."""
    browser = demo.browser
    box = browser.shown("input[type='checkbox']")
    box.click()
    browser.until(lambda: "reverted" in browser.shown(".te-row h3").text, "the row is reverted")
    assert browser.shown(".te-row .te-diff").get_property("textContent") == as_shown(row.sources[0] or "")
    assert "give the same source." in browser.shown(".te-row .te-facts").text
    box.click()
    check_row(demo, row)
