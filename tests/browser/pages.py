"""The pages as users see and use them."""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape

from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from hf_toedit.picture.html import escaped
from tests.browser.chromium import Chromium

_SETTLED = """
return [...document.querySelectorAll('[data-testid="status-tracker"]')].every((each) => each.classList.contains("hide"))
    && !document.getAnimations().some((each) => each instanceof CSSTransition)
"""


def as_shown(text: str) -> str:
    """Return a text of a dataset as the page shows it."""
    return unescape(escaped(text))


class Picture:
    """The tokens of a text, and their shared tooltip."""

    def __init__(self, browser: Chromium, css: str = ".te-text") -> None:
        self.browser = browser
        self._css = css

    def tokens(self, css: str = "") -> list[WebElement]:
        """Return the tokens, optionally only those of a further class."""
        return self.browser.all(f"{self._css} .te-t{css}")

    def texts(self, css: str) -> list[str]:
        """Return the texts of tokens as the page shows them."""
        found = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)"
        return self.browser.script(found, f"{self._css} .te-t{css}")

    def changed(self) -> list[tuple[str, str]]:
        """Return pairs of replaced and new text."""
        return list(zip(self.texts(".te-changed del"), self.texts(".te-changed ins"), strict=True))

    def tip(self) -> str | None:
        """Return the text of the tooltip, or None if it is hidden."""
        found = self.browser.all("#te-tip")
        return found[0].text if found and found[0].is_displayed() else None

    def focused(self) -> int:
        """Return the index of the focused token, or -1."""
        find = "return [...document.querySelectorAll(arguments[0])].indexOf(document.activeElement)"
        return self.browser.script(find, f"{self._css} .te-t")


@dataclass(frozen=True)
class Demo:
    """The web page of `hf-toedit space`."""

    browser: Chromium
    address: str

    def open(self, fragment: str = "", theme: str = "") -> Demo:
        """Open the page, optionally with a fragment."""
        query = f"/?__theme={theme}" if theme else "/"
        self.browser.open(self.address + query + (f"#{fragment}" if fragment else ""))
        self.browser.shown(".te-text")
        self.settle()
        return self

    def settle(self) -> None:
        """Wait until no request is running."""
        self.browser.until(lambda: self.browser.script(_SETTLED), "nothing is under way")

    def tab(self, name: str) -> None:
        """Switch to a tab."""
        self._named('[role="tab"]', name).click()

    def copy(self, label: str) -> None:
        """Press the copy button of a box."""
        block = self.field(label).find_element(By.XPATH, "ancestor::*[.//button[@aria-label='Copy']][1]")
        block.find_element(By.CSS_SELECTOR, "button[aria-label='Copy']").click()

    def read(self, label: str, value: str) -> None:
        """Wait until a box shows a value."""
        try:
            self.browser.until(lambda: self.value(label) == value, "")
        except TimeoutException:
            assert self.value(label) == value  # fails with both values in its message

    def button(self, name: str) -> None:
        """Return a visible button by its name."""
        button = self._named("button", name)
        self.browser.script("arguments[0].scrollIntoView({ block: 'center' })", button)
        button.click()

    def edit(self) -> None:
        """Press the button that edits the text."""
        self.button("Edit (Ctrl+Enter)")

    def field(self, label: str) -> WebElement:
        """Return a text field, for input or output."""
        return self.browser.until(lambda: self._field(label), f"a box {label!r} is shown")

    def value(self, label: str) -> str:
        """Return the value of a field."""
        return str(self.field(label).get_property("value"))

    def type(self, label: str, text: str) -> None:
        """Replace the text of a field."""
        box = self.field(label)
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text or Keys.DELETE)

    def slide(self, label: str, value: float) -> None:
        """Move a slider with its keys, from the nearer end, until it reaches a value."""
        slider = self._slider(label)
        low, high, step = (float(slider.get_attribute(name) or 0) for name in ("min", "max", "step"))
        from_end = value - low > high - value
        steps = round((high - value if from_end else value - low) / step)
        slider.send_keys(Keys.END + Keys.ARROW_LEFT * steps if from_end else Keys.HOME + Keys.ARROW_RIGHT * steps)
        assert self.stands_at(label) == value

    def stands_at(self, label: str) -> float:
        """Return the value of a slider."""
        return float(str(self._slider(label).get_property("value")))

    def _slider(self, label: str) -> WebElement:
        return self.browser.shown(f'input[type="range"][aria-label$=" {label}"]')

    def choose(self, group: str, name: str) -> None:
        """Select an option."""
        for fieldset in self.browser.all("fieldset"):
            if fieldset.is_displayed() and group in fieldset.text:
                for label in fieldset.find_elements(By.TAG_NAME, "label"):
                    if label.text.strip() == name:
                        label.click()
                        return
        raise AssertionError(f"there is no {name!r} to choose of {group!r}")

    def _field(self, label: str) -> WebElement | None:
        for each in self.browser.all("label"):
            named = each.find_elements(By.CSS_SELECTOR, "[data-testid='block-info']")
            if named and named[0].text == label and each.is_displayed():
                return each.find_element(By.CSS_SELECTOR, "textarea, input")
        return None

    def _named(self, css: str, name: str) -> WebElement:
        def found() -> WebElement | None:
            return next((each for each in self.browser.all(css) if each.text == name and each.is_displayed()), None)

        return self.browser.until(found, f"{css} {name!r} is shown")
