"""The measured priors: existing models, and Llamas with random weights created in a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_toedit import EditConfig, PriorConfig, load_prior
from hf_toedit.editing.alignment import Aligner
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors import embedded

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Real models, tokenizers and texts beside the checkout, if there are any."""

SHAPES: dict[str, dict[str, int]] = {
    "Llama 30M": {
        "hidden_size": 384,
        "num_hidden_layers": 7,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "intermediate_size": 1024,
    },
    "Llama 135M": {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
    },
}
"""Models with random weights; their computations cost the same as in a trained one."""

SMOLLM2 = "SmolLM2-135M"
"""A trained model of the shape of Llama 135M."""

DEFAULT_THRESHOLD = 0.99
VOCAB_SIZE = 49_152
CONTEXT = 8192
SELECTED_RATE = 0.12
_SAMPLE_TOKENS = 4000


@dataclass(frozen=True)
class Measured:
    """A prior to measure.

    Attributes:
        name: Name in the tables.
        path: Its folder, or `embedded`.
        stories: Whether it was trained on TinyStories and should read them.
        threshold: Threshold; 0 until it is known at which one about `SELECTED_RATE` of the tokens are selected.
    """

    name: str
    path: str
    stories: bool = False
    threshold: float = 0.0

    @property
    def folder(self) -> str:
        """Folder of its files."""
        return str(embedded.path()) if self.path == "embedded" else self.path

    def with_threshold(self, texts: list[str]) -> Measured:
        """Return the prior with its threshold, or with one that selects `SELECTED_RATE` of first tokens."""
        if self.threshold:
            return self
        prior = load_prior(PriorConfig(self.path))
        logprobs: list[np.ndarray] = []
        for document in Aligner(prior.tokenizer).align(texts):
            logprobs.append(prior.score([document], SelectionRule(EditConfig(threshold=1.0)))[0].logprobs)
            if sum(map(len, logprobs)) >= _SAMPLE_TOKENS:
                break
        threshold = float(np.exp(np.nanquantile(np.concatenate(logprobs), 1 - SELECTED_RATE)))
        return replace(self, threshold=threshold)


def available(names: list[str], stories: Path, smollm2: Path, cache: Path) -> tuple[list[Measured], list[str]]:
    """Return the named priors, created if necessary, and those that are left out, with reasons."""
    tokenizer = SHARED / "tokenizers" / "gpt2" / "tokenizer.json"
    priors: list[Measured] = []
    left_out: list[str] = []
    for name in names:
        if name == "embedded":
            priors.append(Measured(name, name))
        elif name == "stories260K" and stories.is_dir():
            priors.append(Measured(name, str(stories), stories=True))
        elif name == "stories260K":
            left_out.append(f"{name}: no folder {stories}; name one with --stories")
        elif name == SMOLLM2 and smollm2.is_dir():
            priors.append(Measured(name, str(smollm2), threshold=DEFAULT_THRESHOLD))
        elif name == SMOLLM2:
            left_out.append(f"{name}: no folder {smollm2}; name one with --smollm2")
        elif tokenizer.is_file():
            priors.append(Measured(name, str(random_llama(cache / name.replace(" ", "-"), tokenizer, SHAPES[name]))))
        else:
            left_out.append(f"{name}: there is no {tokenizer} to make a tokenizer of {VOCAB_SIZE:,} entries from")
    return priors, left_out


def random_llama(folder: Path, tokenizer: Path, shape: dict[str, int], context: int = CONTEXT) -> Path:
    """Create a Llama with random weights, always the same.

    Args:
        folder: Output folder.
        tokenizer: A `tokenizer.json` of byte-level BPE, whose first entries are kept.
        shape: Settings of `LlamaConfig`; `vocab_size` defaults to `VOCAB_SIZE`. The tokenizer may have fewer entries
            than the model has logits.
        context: Number of positions.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    spec = cut_tokenizer(json.loads(tokenizer.read_text(encoding="utf-8")), VOCAB_SIZE)
    bos = len(spec["model"]["vocab"]) - 1 if len(spec["model"]["vocab"]) == VOCAB_SIZE else 0
    config = LlamaConfig(
        **{"vocab_size": VOCAB_SIZE, "tie_word_embeddings": True, "head_dim": 64} | shape,
        max_position_embeddings=context,
        bos_token_id=bos,
        eos_token_id=bos,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    special = spec["added_tokens"][0]["content"]
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": special, "eos_token": special}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(names | {"clean_up_tokenization_spaces": False}), encoding="utf-8"
    )
    return folder


def cut_tokenizer(spec: dict[str, Any], size: int) -> dict[str, Any]:
    """Return a byte-level BPE without its last merges, with its one special token last; unchanged if small enough."""
    model, (special, *_) = spec["model"], spec["added_tokens"]
    if len(model["vocab"]) <= size:
        return spec
    entries = sorted(model["vocab"], key=model["vocab"].get)
    kept = [entry for entry in entries if entry != special["content"]][: size - 1]
    merges = model["merges"][: len(kept) - 256]
    vocab = {entry: index for index, entry in enumerate([*kept, special["content"]])}
    return spec | {
        "model": model | {"vocab": vocab, "merges": merges},
        "added_tokens": [special | {"id": size - 1}],
    }
