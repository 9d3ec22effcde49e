"""Small classifiers with random weights and real tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from tests.editing.tokenizers import tokenizer
from tests.shared import tokenizer_path

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
LABELS = {0: "poor", 1: "fair", 2: "good"}
CONTEXT = 40
"""Number of tokens that each classifier reads at once."""

_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "<|{{ message.role }}|>\n{{ message.content }}\n{% endfor %}"
)


def _bert() -> tuple[Any, Any]:
    backend = tokenizer("wordpiece")
    config = BertConfig(vocab_size=backend.get_vocab_size(), max_position_embeddings=CONTEXT, id2label=LABELS, **SMALL)
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[MASK]"}
    names = ["input_ids", "token_type_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, model_input_names=names, **special)
    return BertForSequenceClassification(config), fast


def _roberta() -> tuple[Any, Any]:
    backend = tokenizer("roberta")
    settings: dict[str, Any] = {"max_position_embeddings": CONTEXT + 2, "pad_token_id": 1, "num_labels": 1, **SMALL}
    config = RobertaConfig(vocab_size=backend.get_vocab_size(), **settings)
    return RobertaForSequenceClassification(config), PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="</s>")


def _gpt2() -> tuple[Any, Any]:
    backend = Tokenizer.from_file(str(tokenizer_path("gpt2") / "tokenizer.json"))
    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, id2label=LABELS, bos_token_id=0)
    return GPT2ForSequenceClassification(config), PreTrainedTokenizerFast(tokenizer_object=backend)


def _llama() -> tuple[Any, Any]:
    """Create a reward model: one logit, and a chat template."""
    backend = Tokenizer.from_file(str(tokenizer_path("llama-2") / "tokenizer.json"))
    config = LlamaConfig(vocab_size=32_000, pad_token_id=0, num_labels=1, id2label={0: "reward"}, **SMALL)
    special = {"bos_token": "<s>", "pad_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=CONTEXT, **special)
    fast.chat_template = _TEMPLATE
    return LlamaForSequenceClassification(config), fast


_MADE = {"bert": _bert, "roberta": _roberta, "gpt2": _gpt2, "llama": _llama}
CLASSIFIERS = tuple(_MADE)


def make_classifier(name: str, folder: Path) -> Path:
    """Save one of `CLASSIFIERS`."""
    torch.manual_seed(0)
    model, fast = _MADE[name]()
    for weight in model.parameters():  # otherwise all logits would be nearly equal
        weight.data *= 3
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_language_model(folder: Path) -> Path:
    """Create a model of the same architecture that is not a classifier."""
    model, fast = _bert()
    BertForMaskedLM(model.config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
