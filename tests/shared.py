"""Real models, tokenizers and texts beside the checkout; a test that needs one that is not there is skipped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest

SHARED = Path(os.environ.get("HF_TOEDIT_SHARED", Path(__file__).parents[2] / "shared"))
"""Real models, tokenizers and texts beside the checkout; tests that use them are skipped without it."""

TOKENIZERS = ("gpt2", "llama-2", "unigram-test", "gpt-neox-20b", "stories260K")


def shared(relative: str) -> Path:
    """A path in the shared folder; skips the test where it is absent, fails it where the folder is required."""
    path = SHARED / relative
    if not path.exists():
        lacking(f"{relative} in the shared folder")
    return path


def lacking(what: str) -> NoReturn:
    """Skip a test for want of something, or fail it where everything is required."""
    if os.environ.get("HF_TOEDIT_REQUIRE_SHARED"):
        pytest.fail(f"needs {what}, and HF_TOEDIT_REQUIRE_SHARED is set")
    pytest.skip(f"needs {what}")


def texts(name: str) -> list[str]:
    """The texts of one file of the shared data."""
    with shared(f"data/{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def tokenizer_path(name: str) -> Path:
    """Folder of a shared tokenizer."""
    return shared("models/stories260K" if name == "stories260K" else f"tokenizers/{name}")
