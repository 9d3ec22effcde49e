"""Small models that generate, and reference results of transformers."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.generation.loading import load_generator
from hf_toedit.generation.transformers import TransformersGenerator
from hf_toedit.priors import embedded
from tests.shared import shared

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def stories() -> str:
    """Return the folder of the small model of stories."""
    return str(shared("models/stories260K"))


def generator(prior: str | Path, **settings: Any) -> TransformersGenerator:
    """Return a generator with settings of `GenerateConfig`."""
    loaded = load_generator(PriorConfig(str(prior), device="cpu"), GenerateConfig(**settings), Resources())[2]
    assert isinstance(loaded, TransformersGenerator)
    return loaded


@cache
def plain(prior: str) -> Any:
    """Return the same model, loaded by transformers."""
    folder = embedded.path() if prior == "embedded" else prior
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.inference_mode()
def logits(prior: str, ids: list[int]) -> torch.Tensor:
    """Return the model's own logits at each position; float32 `[n, vocabulary]`."""
    return plain(prior)(torch.tensor([ids])).logits[0]


def copied(folder: Path, source: str | Path, template: str | None = None, **files: dict[str, Any]) -> Path:
    """Copy a model with other settings in `config`, `generation_config` or `tokenizer_config`."""
    shutil.copytree(source, folder)
    for name, changes in files.items():
        path = folder / f"{name}.json"
        values = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**values, **changes}))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder
