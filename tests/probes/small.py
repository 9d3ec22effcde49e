"""Probes that take seconds: a one-layer model and short stories."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_toedit.api.probe_models import train_models
from hf_toedit.api.probing import Probing
from hf_toedit.probes.summary import summary
from tests.shared import texts

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "initializer_range": 0.1,
}
"""Settings of a model that reads 64 tokens at once, and learns word pairs within 30 steps."""

SETTINGS: dict[str, Any] = {"context": 64, "batch_size": 8, "learning_rates": (0.03,), "device": "cpu"}


def stories(count: int, length: int = 400) -> list[str]:
    return [text[:length] for text in texts("synthetic_tinystories_500")[:count]]


def shuffled(documents: Sequence[str], seed: int = 0) -> list[str]:
    """Shuffle the words within each document."""
    rng = random.Random(seed)
    return [" ".join(rng.sample(words, len(words))) for words in map(str.split, documents)]


def write(path: Path, documents: Sequence[Any], column: str = "text") -> Path:
    path.write_text("".join(json.dumps({column: text}) + "\n" for text in documents), encoding="utf-8")
    return path


def config_file(folder: Path, **changes: Any) -> Path:
    path = folder / "CONFIG.json"
    path.write_text(json.dumps({**CONFIG, **changes}))
    return path


def probed(folder: Path, variants: dict[str, Sequence[str]], held_out: Sequence[str], **settings: Any) -> Any:
    """Return the results of a probe, without its report."""
    folder.mkdir()
    sources = {name: str(write(folder / f"{name}.jsonl", found)) for name, found in variants.items()}
    evals = {"held-out": str(write(folder / "held-out.jsonl", held_out))}
    given = {**SETTINGS, "model": str(config_file(folder)), **settings}
    probing = Probing.find(sources, evals, given)
    probing.tokenize(folder / "tokens")
    return summary(probing.facts(), *train_models(probing, folder / "models", progress=False))
