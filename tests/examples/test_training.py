"""`transformers` and TRL train models on edited datasets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.probes.small import stories, write
from tests.shared import shared

CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@pytest.fixture
def model() -> Path:
    """Create a small model with a tokenizer."""
    return shared("models/stories260K")


def _is_trained(folder: Path, before: Path) -> bool:
    AutoTokenizer.from_pretrained(folder)
    now, old = (AutoModelForCausalLM.from_pretrained(place).state_dict() for place in (folder, before))
    assert all(torch.isfinite(weight).all() for weight in now.values())
    return now.keys() == old.keys() and any(not torch.equal(now[name], old[name]) for name in now)


def test_trainer_reads_a_run(model: Path, example: Callable[..., str], tmp_path: Path) -> None:
    source = write(tmp_path / "stories.jsonl", stories(24))
    example("transformers_trainer.py", source, "--model", model, "--steps", 2)
    assert _is_trained(tmp_path / "trained", model)
    edited = load_dataset(str(tmp_path / "run"), split="train", cache_dir=str(tmp_path / "cache"))
    assert edited.num_rows == 24 and "toedit" in edited.column_names


def test_sft_trainer_reads_a_stream(model: Path, example: Callable[..., str], tmp_path: Path) -> None:
    chats = [
        [{"role": "user", "content": "Tell a story."}, {"role": "assistant", "content": story}] for story in stories(16)
    ]
    source = write(tmp_path / "chats.jsonl", chats, "messages")
    shutil.copytree(model, tmp_path / "chat")
    (tmp_path / "chat/chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    example("trl_sft.py", source, "--model", "chat", "--steps", 2)
    assert _is_trained(tmp_path / "tuned", model)
