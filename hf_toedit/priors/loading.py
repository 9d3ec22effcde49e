"""From the name of a prior to a model and a tokenizer; safetensors only, remote code only if asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from hf_toedit.config import Dtype, PriorConfig
from hf_toedit.errors import PriorError, UsageError, in_one_line
from hf_toedit.hub import pinned_sha
from hf_toedit.priors.own import pinned_own
from hf_toedit.priors.pinning import folder_revision, prior_folder

DEFAULT_CONTEXT = 2048
"""Positions a window holds where a model's configuration names no limit."""

_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "context_length")
_NEAR = 0.75
"""How near to `embedded` a name is that is taken for a slip of the pen."""


@dataclass(frozen=True)
class FoundModel:
    """A model before its weights are loaded.

    Attributes:
        location: folder, or Hub id.
        revision: what pins it.
        commit: what to load of the Hub; None for a folder.
        config: its configuration, of `transformers`.
        tokenizer: its fast tokenizer, of `transformers`.
    """

    location: str
    revision: str
    commit: str | None
    config: Any
    tokenizer: Any

    @property
    def context(self) -> int:
        """Positions that the model reads at once."""
        text_config = self.config.get_text_config()
        for key in _CONTEXT_KEYS:
            value = getattr(text_config, key, None)
            if isinstance(value, int) and value > 1:
                return value
        return DEFAULT_CONTEXT


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to score, and what pins it."""

    model: Any
    tokenizer: Any
    revision: str
    context: int
    device: torch.device


def find(config: PriorConfig) -> FoundModel:
    """Load configuration and tokenizer.

    Raises:
        PriorError: not found, not loadable, no fast tokenizer, not a causal language model.
    """
    location, revision = locate(config)
    commit = None if Path(location).is_dir() else revision
    options = {"revision": commit, "trust_remote_code": config.trust_remote_code}
    model_config = _loaded(config.prior, "configuration", AutoConfig.from_pretrained, location, **options)
    if getattr(model_config, "is_encoder_decoder", False):
        raise PriorError(
            f"prior {config.prior!r} is an encoder-decoder model ({model_config.model_type}); "
            f"name a causal (decoder-only) language model instead."
        )
    tokenizer = _loaded(config.prior, "tokenizer", AutoTokenizer.from_pretrained, location, **options)
    if not getattr(tokenizer, "is_fast", False):
        raise PriorError(
            f"prior {config.prior!r} has no fast tokenizer, and only a fast one tells which characters each token "
            f"stands for. Name a prior whose repository holds a tokenizer.json."
        )
    return FoundModel(location, revision, commit, model_config, tokenizer)


def load(config: PriorConfig) -> LoadedModel:
    """Load model and tokenizer.

    Raises:
        PriorError: not found, not loadable, no fast tokenizer, not a causal language model.
    """
    device = _device(config.device)
    found = find(config)
    model = _loaded(
        config.prior,
        "model",
        AutoModelForCausalLM.from_pretrained,
        found.location,
        config=found.config,
        dtype=dtype_on(config.dtype, device.type),
        use_safetensors=True,
        revision=found.commit,
        trust_remote_code=config.trust_remote_code,
    )
    return LoadedModel(model.eval().to(device), found.tokenizer, found.revision, found.context, device)


def locate(config: PriorConfig) -> tuple[str, str]:
    """Where a prior lies and what pins it: (folder, fingerprint) or (Hub id, commit sha).

    Raises:
        PriorError: there is none of that name.
    """
    folder = prior_folder(config)
    if folder.is_dir():
        if config.revision:
            raise UsageError(f"prior {config.prior!r} is local and has no revisions. Leave the revision out.")
        if not (folder / "config.json").is_file():
            raise PriorError(f"{folder} is not a model folder: it holds no config.json.")
        return str(folder), folder_revision(config)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", config.prior) or config.prior.startswith("."):
        raise PriorError(f"no prior folder {config.prior!r}. Name a folder, a Hub id (org/name), or 'embedded'.")
    if "/" not in config.prior and get_close_matches(config.prior, ["embedded"], cutoff=_NEAR):
        # The Hub has models without an owner, of its early days; none of them is called nearly so.
        raise PriorError(f"no prior folder {config.prior!r}. Did you mean 'embedded'?")
    return config.prior, pinned_sha("model", config.prior, config.revision, PriorError)


def pinned(config: PriorConfig) -> tuple[PriorConfig, str]:
    """Settings that name the commit of a Hub prior instead of a branch, and what pins the prior; nothing is loaded.

    Raises:
        PriorError: there is none of that name.
        UsageError: there is no such class.
    """
    if config.is_own:
        return pinned_own(config)
    location, revision = locate(config)
    return (config if Path(location).is_dir() else replace(config, revision=revision)), revision


def resolved(config: PriorConfig) -> tuple[PriorConfig, str]:
    """The same with `auto` dtype resolved for the device that would be used here; nothing is loaded.

    Raises:
        PriorError: there is no such prior, or no such device.
    """
    config, revision = pinned(config)
    dtype = dtype_on(config.dtype, _device(config.device).type)
    return replace(config, dtype=dtype), revision


def _loaded(prior: str, what: str, loader: Any, location: str, **options: Any) -> Any:
    """Call a loader of `transformers`; its many kinds of failure become one."""
    try:
        return loader(location, **options)
    except Exception as error:
        said = str(error)
        if "trust_remote_code" in said:
            advice = "Its repository brings its own Python code; if you trust it, say --trust-remote-code."
        elif "safetensors" in said:
            advice = "Only safetensors weights are loaded; convert the model, or name another."
        elif "AutoModelForCausalLM" in said:
            advice = "It is not a causal language model; name a decoder-only one."
        else:
            advice = "Check that it is a complete causal language model."
        raise PriorError(f"cannot load the {what} of prior {prior!r}: {in_one_line(error)} {advice}") from error


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device  # with its number: which one `cuda` is, is up to each thread
    except (RuntimeError, AssertionError) as error:
        raise PriorError(f"device {name!r} is not available here ({' '.join(str(error).split())[:120]}).") from error


def dtype_on(name: Dtype, device_type: str) -> Dtype:
    """A dtype with `auto` resolved for a kind of device."""
    if name == "auto":
        return "float32" if device_type == "cpu" else "bfloat16"
    return name
