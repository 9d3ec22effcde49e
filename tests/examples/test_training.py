"""Models are trained on edited datasets by `transformers` and TRL, and evaluated by lm-eval."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_toedit.api.probe import probe
from tests.probes.small import SETTINGS, config_file, stories, write
from tests.shared import shared

CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@pytest.fixture
def model() -> Path:
    """A small model with a tokenizer."""
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


def test_lm_eval_reads_the_models_of_a_probe(example: Callable[..., str], tmp_path: Path) -> None:
    """Its figures are those of the probe, but for the context at the borders of windows."""
    found = stories(80)
    held_out = write(tmp_path / "held-out.jsonl", found[:10])
    sources = {name: str(write(tmp_path / f"{name}.jsonl", found[10:])) for name in ("human", "edited")}
    settings = {**SETTINGS, "seeds": 2, "keep_models": True, "progress": False}
    probe(sources, {"held-out": held_out}, tmp_path / "report", model=config_file(tmp_path), **settings)
    printed = example("lm_eval_probe.py", "report", "--held-out", held_out)
    figures = dict(line.split(" held_out bits_per_byte ") for line in printed.splitlines() if " held_out " in line)
    assert set(figures) == {f"{name}/rate-0.03/seed-{seed}" for name in sources for seed in (0, 1)}
    num_bytes = sum(len(text.encode()) for text in found[:10])
    for name, figure in figures.items():
        result = json.loads((tmp_path / "report/work/models" / name / "result.json").read_text(encoding="utf-8"))
        nll = sum(result["scores"]["held-out"]["nll"])
        assert float(figure) == pytest.approx(nll / num_bytes / math.log(2), rel=0.05)
