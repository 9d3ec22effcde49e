"""Priors run by the real vLLM; skipped if it is not installed, unless it is required."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_toedit.priors import embedded


@pytest.fixture(scope="session", autouse=True)
def vllm() -> None:
    """Skip or fail the tests without vLLM, which all of them need."""
    if importlib.util.find_spec("vllm") is None:
        if os.environ.get("HF_TOEDIT_REQUIRE_VLLM"):
            pytest.fail("needs vllm, and HF_TOEDIT_REQUIRE_VLLM is set")
        pytest.skip("needs vllm: make test-vllm")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that copies the embedded prior with changes in `config.json` and `tokenizer_config.json`."""

    def make(tokenizer: dict[str, Any] | None = None, **config: Any) -> Path:
        copy = tmp_path_factory.mktemp("prior")
        for name, changes in (("config.json", config), ("tokenizer_config.json", tokenizer or {})):
            values = json.loads((embedded.path() / name).read_text())
            (copy / name).write_text(json.dumps({**values, **changes}))
        for path in [*embedded.path().glob("*.safetensors"), embedded.path() / "tokenizer.json"]:
            shutil.copyfile(path, copy / path.name)
        return copy

    return make
