"""Real models, tokenizers and texts next to the checkout; tests of missing ones are skipped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest

SHARED = Path(os.environ.get("HF_TOEDIT_SHARED", Path(__file__).parents[2] / "shared"))
"""Folder of real models, tokenizers and texts next to the checkout; tests that use it are skipped without it."""

TOKENIZERS = ("gpt2", "llama-2", "unigram-test", "gpt-neox-20b", "stories260K")


def shared(relative: str) -> Path:
    """Return a path in the shared folder; if it is missing, skip the test, or fail it if the folder is required."""
    path = SHARED / relative
    if not path.exists():
        lacking(f"{relative} in the shared folder")
    return path


def lacking(what: str) -> NoReturn:
    """Skip a test because something is missing, or fail it if everything is required."""
    if os.environ.get("HF_TOEDIT_REQUIRE_SHARED"):
        pytest.fail(f"needs {what}, and HF_TOEDIT_REQUIRE_SHARED is set")
    pytest.skip(f"needs {what}")


def texts(name: str) -> list[str]:
    """Return the texts of one file of the shared data."""
    with shared(f"data/{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def tokenizer_path(name: str) -> Path:
    """Return the folder of a shared tokenizer."""
    return shared("models/stories260K" if name == "stories260K" else f"tokenizers/{name}")
