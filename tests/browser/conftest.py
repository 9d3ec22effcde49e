"""A browser, and the demo that it opens; both are shared by all tests of a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium, lacking
from tests.browser.server import edited_sample, serving


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Start Chromium; skip the test if it is missing, unless it is required."""
    if what := lacking():
        if os.environ.get("HF_TOEDIT_REQUIRE_BROWSER"):
            pytest.fail(f"needs {what}, and HF_TOEDIT_REQUIRE_BROWSER is set")
        pytest.skip(f"needs {what}")
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    """Set a large, light window; fail a test whose page logged an error or contacted another host."""
    chromium.size(1440)
    chromium.colours("light")
    yield chromium
    assert chromium.errors() == []
    assert chromium.strangers() == []


@pytest.fixture(scope="session")
def run(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a run folder of the sample, with three generations."""
    return edited_sample(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="session")
def address(run: Path) -> Iterator[str]:
    """Return the address of a demo whose dataset tab shows the run."""
    with serving(run) as address:
        yield address
