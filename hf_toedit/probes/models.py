"""The models of a probe: from scratch by a configuration, or with the weights of a folder or of the Hub."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hf_toedit.config import PriorConfig
from hf_toedit.errors import PriorError, UsageError
from hf_toedit.fingerprint import file_fingerprint
from hf_toedit.priors.loading import (
    TOKENIZER,
    Kind,
    check_fast,
    context_of,
    device_of,
    loaded,
    locate,
    locate_tokenizer,
)
from hf_toedit.probes.config import ProbeConfig

_LLAMAS = {
    "tiny": {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4},
    "small": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6},
}
"""Shapes of the built-in Llamas: 1.4 and 12 million parameters with the embedded tokenizer."""

_GPT2 = "openai-community/gpt2"

_MODEL = Kind(
    "model",
    "tiny, small, gpt2, a CONFIG.json, a folder, or a Hub id (org/name)",
    "AutoModelForCausalLM",
    "It is not a causal language model; name a decoder-only one.",
    "a complete causal language model",
)


@dataclass(frozen=True)
class ProbeModel:
    """A model before it is created.

    Attributes:
        name: Name as the user gave it.
        config: Its configuration, of `transformers`.
        location: Folder or Hub id of the weights; None from scratch.
        revision: Revision or fingerprint of configuration and weights; empty for a built-in model.
        tokenizer: A fast tokenizer of `transformers`.
        tokenizer_name: Name of the tokenizer as the user gave it.
        tokenizer_revision: Revision or fingerprint of the tokenizer.
        lora: Whether adapters are trained.
    """

    name: str
    config: Any
    location: str | None
    revision: str
    tokenizer: Any
    tokenizer_name: str
    tokenizer_revision: str
    lora: bool

    def make(self, seed: int) -> Any:
        """Create the model with its initial weights, in float32; equal seeds give equal weights.

        Args:
            seed: Random seed of new weights.

        Raises:
            PriorError: The model cannot be created or loaded.
        """
        from transformers import AutoModelForCausalLM, set_seed

        set_seed(seed)
        if self.location is None:  # a copy, because using it as a prior changes the attention there
            return loaded(_MODEL, self.name, "model", AutoModelForCausalLM.from_config, deepcopy(self.config))
        commit = None if Path(self.location).is_dir() else self.revision
        model = loaded(
            _MODEL,
            self.name,
            "model",
            AutoModelForCausalLM.from_pretrained,
            self.location,
            revision=commit,
            dtype=torch.float32,
            use_safetensors=True,
        )
        return _with_adapters(model, self.name) if self.lora else model

    def stored(self, folder: Path, device: str) -> Any:
        """Load a trained model from the folder where it was stored.

        Args:
            folder: The folder.
            device: Device of the model, see `PriorConfig`.

        Raises:
            PriorError: The model cannot be loaded.
        """
        from transformers import AutoModelForCausalLM

        load = AutoModelForCausalLM.from_pretrained
        model = loaded(_MODEL, str(folder), "weights", load, str(folder), dtype=torch.float32, use_safetensors=True)
        return model.eval().to(device_of(device))

    def facts(self) -> dict[str, Any]:
        """Return the facts of the model as JSON values, without paths on this machine."""
        return {
            "model": Path(self.name).name if self.location is None or Path(self.name).is_dir() else self.name,
            "revision": self.revision,
            "architecture": self.config.to_diff_dict() if self.location is None else self.config.model_type,
            "from_scratch": self.location is None,
            "tokenizer": Path(self.tokenizer_name).name if Path(self.tokenizer_name).is_dir() else self.tokenizer_name,
            "tokenizer_revision": self.tokenizer_revision,
        }


def find_model(asked: ProbeConfig) -> ProbeModel:
    """Find the model and the tokenizer of a probe, without loading weights.

    Raises:
        PriorError: One of them cannot be found or used.
        UsageError: The context is longer than the model supports.
    """
    from transformers import AutoConfig

    name = asked.model
    if asked.is_scratch:
        tokenizer_name = asked.tokenizer or (_GPT2 if name == "gpt2" else "embedded")
        tokenizer, tokenizer_revision = _tokenizer(tokenizer_name)
        config, revision = _from_scratch(name, tokenizer, asked.context)
        return ProbeModel(name, config, None, revision, tokenizer, tokenizer_name, tokenizer_revision, False)
    location, revision = locate(PriorConfig(name))
    commit = None if Path(location).is_dir() else revision
    config = loaded(_MODEL, name, "configuration", AutoConfig.from_pretrained, location, revision=commit)
    tokenizer_name = asked.tokenizer or name
    tokenizer, tokenizer_revision = _tokenizer(tokenizer_name)
    if config.get_text_config().vocab_size < len(tokenizer):
        raise PriorError(
            f"tokenizer {tokenizer_name!r} has {len(tokenizer):,} tokens, and model {name!r} knows "
            f"{config.get_text_config().vocab_size:,}. Leave --tokenizer out."
        )
    _check_context(config, asked)
    return ProbeModel(name, config, location, revision, tokenizer, tokenizer_name, tokenizer_revision, asked.lora)


def check_trainable(model: Any, name: str) -> None:
    """Check that a model returns logits over its vocabulary, which the loss needs.

    Args:
        model: A model of `transformers`.
        name: Name for the message.

    Raises:
        PriorError: The model returns no logits.
    """
    with torch.inference_mode():
        answer = model(input_ids=torch.zeros((1, 4), dtype=torch.long, device=model.device))
    logits = getattr(answer, "logits", None)
    if logits is None or logits.shape[:2] != (1, 4):
        raise PriorError(
            f"model {name!r} gives no probabilities of the next token, so it has no loss. Name a causal language model."
        )


def _tokenizer(name: str) -> tuple[Any, str]:
    from transformers import AutoTokenizer

    location, revision = locate_tokenizer(name, None, False)
    commit = None if Path(location).is_dir() else revision
    tokenizer = loaded(TOKENIZER, name, "files", AutoTokenizer.from_pretrained, location, revision=commit)
    check_fast(TOKENIZER, name, tokenizer)
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise PriorError(
            f"tokenizer {name!r} has no token for the beginning or the end of a text. Name another with --tokenizer."
        )
    return tokenizer, revision


def _from_scratch(name: str, tokenizer: Any, context: int) -> tuple[Any, str]:
    """Return a configuration for the vocabulary of a tokenizer, and its fingerprint."""
    from transformers import AutoConfig, GPT2Config, LlamaConfig

    special = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if name in _LLAMAS:
        return LlamaConfig(**_LLAMAS[name], max_position_embeddings=context, tie_word_embeddings=True, **special), ""
    if name == "gpt2":
        return GPT2Config(n_positions=context, **special), ""
    if not Path(name).is_file():
        raise PriorError(f"there is no configuration {name}. Name a CONFIG.json of transformers with --model.")
    config = loaded(_MODEL, name, "configuration", AutoConfig.from_pretrained, name)
    config.update(special)
    known = context_of(config)
    if known is not None and known < context:
        raise _too_long(name, known, context)
    _, revision = file_fingerprint(name)
    return config, revision


def _check_context(config: Any, asked: ProbeConfig) -> None:
    known = context_of(config)
    if known is not None and known < asked.context:
        raise _too_long(asked.model, known, asked.context)


def _too_long(name: str, known: int, context: int) -> UsageError:
    return UsageError(
        f"model {name!r} reads {known:,} tokens at once, fewer than --context {context}. Lower --context."
    )


def _with_adapters(model: Any, name: str) -> Any:
    from peft import LoraConfig, get_peft_model

    try:
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"))
    except ValueError as error:
        raise PriorError(f"LoRA does not know the layers of model {name!r}. Leave --lora out.") from error
