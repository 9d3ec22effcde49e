"""A headless Chromium, with checks for any page: errors, requests, accessibility, size and colours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

AXE = Path(os.environ.get("HF_TOEDIT_AXE", ""))
"""Path of the file `axe.min.js` of axe-core; `make axe` downloads it."""

PATIENCE_S = 120
"""Timeout in seconds, generous for busy machines."""

WIDTHS = {390: 844, 1440: 900}
"""Height by width of a phone and of a desktop."""

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--force-color-profile=srgb", "--hide-scrollbars", "--lang=en",
)  # fmt: skip
_LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:", "file:", "chrome:")
_SCAN = """
const done = arguments[arguments.length - 1];
axe.run({ resultTypes: ["violations"] }).then((found) => done(found.violations), (error) => done(String(error)));
"""
_OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"

_T = TypeVar("_T")


def lacking() -> str | None:
    """Return which required program is missing on this machine, or None."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return name
    return None if AXE.is_file() else "axe-core: run `make axe`, and point HF_TOEDIT_AXE at it"


class Chromium:
    """A browser, started when its context is entered.

    Args:
        home: A folder for its profile, used by no other browser.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> Chromium:
        options = ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*_FLAGS, f"--user-data-dir={self._home}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
        self.driver.set_script_timeout(PATIENCE_S)
        self.driver.set_page_load_timeout(PATIENCE_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.driver.quit()

    def open(self, address: str) -> None:
        """Open a page, and reload it even if only the fragment of the address differs."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def size(self, width: int, height: int | None = None) -> None:
        """Set the window to the width of a phone or a desktop, and to its height by default."""
        metrics = {"width": width, "height": height or WIDTHS[width], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def colours(self, scheme: str) -> None:
        """Set the preferred colour scheme, `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def until(self, condition: Callable[[], _T | None], what: str) -> _T:
        """Wait until a condition returns a true value, and return it.

        Raises:
            TimeoutException: The condition stayed false; the message contains `what` and the text of the page.
        """
        wait = WebDriverWait(self.driver, PATIENCE_S, 0.05, [StaleElementReferenceException])
        try:
            return wait.until(lambda _: condition())  # type: ignore[arg-type, return-value]
        except TimeoutException:
            raise TimeoutException(f"{what}; the page said {self.errors()}") from None

    def all(self, css: str) -> list[WebElement]:
        """Return the elements that currently match a selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def shown(self, css: str) -> WebElement:
        """Wait for the first visible element that matches a selector."""
        return self.until(
            lambda: next((each for each in self.all(css) if each.is_displayed()), None), f"{css} is shown"
        )

    def point_at(self, element: WebElement) -> None:
        """Move the pointer to the middle of an element."""
        self.driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", element)
        ActionChains(self.driver, duration=0).move_by_offset(1, 1).move_to_element(element).perform()

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key on the focused element."""
        chain = ActionChains(self.driver, duration=0)
        (chain.key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT) if shift else chain.send_keys(key)).perform()

    def script(self, code: str, *args: Any) -> Any:
        """Return the result of a script in the page."""
        return self.driver.execute_script(code, *args)

    def clipboard(self) -> str:
        """Return the text of the clipboard."""
        allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self.driver.execute_cdp_cmd("Browser.grantPermissions", allowed)
        return self.script_later("navigator.clipboard.readText().then(arguments[0], arguments[0])")

    def script_later(self, code: str) -> Any:
        """Return the result of an asynchronous script, which calls its last argument when done."""
        return self.driver.execute_async_script(code)

    def errors(self) -> list[str]:
        """Return errors and warnings of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def strangers(self) -> list[str]:
        """Return the addresses of other hosts that were requested since the last call."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                found.append(message["params"]["url"])
        return [address for address in found if not address.startswith(_LOCAL)]

    def barriers(self) -> list[str]:
        """Return the accessibility violations that axe-core rates serious or critical."""
        if not self.script("return Boolean(window.axe)"):
            # The page's content security policy forbids adding a script element.
            self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
        found = self.script_later(_SCAN)
        assert isinstance(found, list), found
        return [
            f"{each['id']} ({each['impact']}): {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return self.script(_OVERFLOW)
