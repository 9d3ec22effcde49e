"""Loading of a model and a tokenizer by the name of a prior; safetensors only, remote code only if allowed.

`transformers` is imported only when it loads a model, so not for the embedded prior.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer

from hf_toedit.config import Dtype, PriorConfig
from hf_toedit.errors import PriorError, UsageError, in_one_line
from hf_toedit.hub import pinned_sha
from hf_toedit.priors.fit_on_device import check_fits
from hf_toedit.priors.llama import Llama
from hf_toedit.priors.own import pinned_own
from hf_toedit.priors.pinning import folder_revision, prior_folder
from hf_toedit.priors.quantization import prepare_quantized

DEFAULT_CONTEXT = 2048
"""Positions per window if a model's configuration has no limit."""

_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "context_length")
_NEAR = 0.75
"""Similarity to `embedded` from which a name is treated as a typo."""


class Kind(NamedTuple):
    """A kind of model, as described in messages.

    Attributes:
        what: What the model is called: `prior`.
        names: Valid forms of a name.
        auto: Class of `transformers` that loads it.
        advice: Advice if the model is of another kind.
        whole: Description of a valid model.
        file: File that a folder of such a model contains.
    """

    what: str
    names: str
    auto: str
    advice: str
    whole: str
    file: str = "config.json"


PRIOR = Kind(
    "prior",
    "a folder, a Hub id (org/name), or 'embedded'",
    "AutoModelForCausalLM",
    "It is not a causal language model; name a decoder-only one.",
    "a complete causal language model",
)

TOKENIZER = Kind(
    "tokenizer",
    "a folder, a Hub id (org/name), or 'embedded'",
    "AutoTokenizer",
    "It has no tokenizer; name a model that has one.",
    "a complete tokenizer",
    "tokenizer.json",
)


@dataclass(frozen=True)
class FoundModel:
    """A model before its weights are loaded.

    Attributes:
        location: Folder, or Hub id.
        revision: What pins the model.
        commit: Commit to load from the Hub; None for a folder.
        config: Its configuration, of `transformers`.
        tokenizer: Its fast tokenizer, of `transformers`.
    """

    location: str
    revision: str
    commit: str | None
    config: Any
    tokenizer: Any

    @property
    def context(self) -> int:
        """Number of positions that the model reads at once."""
        return context_of(self.config) or DEFAULT_CONTEXT


@dataclass(frozen=True)
class EmbeddedTokenizer:
    """The embedded prior's tokenizer, with the part of the `transformers` interface that is used.

    Attributes:
        backend_tokenizer: The tokenizer.
        bos_token_id: The token before a document.
        chat_template: None, since there is no chat template.
    """

    backend_tokenizer: Tokenizer
    bos_token_id: int | None
    chat_template: None = None

    @classmethod
    def load(cls, folder: Path) -> EmbeddedTokenizer:
        """Load the tokenizer from the folder of the prior."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = json.loads((folder / "tokenizer_config.json").read_bytes())
        return cls(tokenizer, tokenizer.token_to_id(settings["bos_token"]))


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to score, with the revision that pins it."""

    model: Any
    tokenizer: Any
    revision: str
    context: int
    device: torch.device


def find(config: PriorConfig) -> FoundModel:
    """Load configuration and tokenizer.

    Raises:
        PriorError: The model is not found, not loadable, has no fast tokenizer, or is not a causal language model.
    """
    from transformers import AutoConfig, AutoTokenizer

    location, revision = locate(config)
    commit = None if Path(location).is_dir() else revision
    options = {"revision": commit, "trust_remote_code": config.trust_remote_code}
    model_config = loaded(PRIOR, config.prior, "configuration", AutoConfig.from_pretrained, location, **options)
    if getattr(model_config, "is_encoder_decoder", False):
        raise PriorError(
            f"prior {config.prior!r} is an encoder-decoder model ({model_config.model_type}); "
            f"name a causal (decoder-only) language model instead."
        )
    tokenizer = loaded(PRIOR, config.prior, "tokenizer", AutoTokenizer.from_pretrained, location, **options)
    check_fast(PRIOR, config.prior, tokenizer)
    return FoundModel(location, revision, commit, model_config, tokenizer)


def load(config: PriorConfig) -> LoadedModel:
    """Load model and tokenizer.

    Raises:
        PriorError: The model is not found, not loadable, has no fast tokenizer, or is not a causal language model.
    """
    device = device_of(config.device)
    if config.prior == "embedded":
        return _embedded(config, device)
    found = find(config)
    return LoadedModel(load_found(found, config, device), found.tokenizer, found.revision, found.context, device)


def load_found(found: FoundModel, config: PriorConfig, device: torch.device) -> Any:
    """Load the weights of a model with transformers.

    Args:
        found: The model.
        config: Its settings.
        device: Device for the model.

    Raises:
        PriorError: The weights cannot be loaded, are incomplete, or do not fit on the device.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import is_accelerate_available

    dtype = dtype_on(config.dtype, device.type)
    packed = prepare_quantized(config.prior, found.config, device)
    if device.type == "cuda" and not packed:
        check_fits(config.prior, found.config, dtype, device)
    # Straight to the device, not once per worker through the memory of the host. Packed weights cannot be moved later.
    straight = is_accelerate_available() and (packed or device.type != "cpu")
    model, report = loaded(
        PRIOR,
        config.prior,
        "model",
        AutoModelForCausalLM.from_pretrained,
        found.location,
        config=found.config,
        dtype=dtype,
        device_map={"": device} if straight else None,
        use_safetensors=True,
        revision=found.commit,
        trust_remote_code=config.trust_remote_code,
        output_loading_info=True,
    )
    if missing := sorted(report["missing_keys"]):  # `transformers` would initialize them randomly
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise PriorError(
            f"the weights of prior {config.prior!r} lack {missing[0]}{more}. Check that it is {PRIOR.whole}."
        )
    return model.eval() if straight else model.eval().to(device)


def _embedded(config: PriorConfig, device: torch.device) -> LoadedModel:
    """Load the embedded prior."""
    location, revision = locate(config)
    folder = Path(location)
    model = Llama.load(folder, getattr(torch, dtype_on(config.dtype, device.type)), device)
    return LoadedModel(model, EmbeddedTokenizer.load(folder), revision, model.config.max_position_embeddings, device)


def locate(config: PriorConfig) -> tuple[str, str]:
    """Return the location of a prior and what pins it: (folder, fingerprint) or (Hub id, commit sha).

    Raises:
        PriorError: There is no prior of that name.
    """
    folder = prior_folder(config)
    if not folder.is_dir() and "/" not in config.prior and get_close_matches(config.prior, ["embedded"], cutoff=_NEAR):
        # The Hub has some early models without an owner, but none with a similar name.
        raise PriorError(f"no prior folder {config.prior!r}. Did you mean 'embedded'?")
    return locate_model(PRIOR, config.prior, folder, config.revision, config.trust_remote_code)


def locate_model(kind: Kind, name: str, folder: Path, commit: str | None, with_code: bool) -> tuple[str, str]:
    """Return the location of a model and what pins it; see `locate`.

    Args:
        kind: Kind of the model.
        name: Name as requested.
        folder: Folder that the name would refer to; it need not exist.
        commit: Branch, tag or commit of a Hub model.
        with_code: Whether to include its Python code, since it may run.

    Raises:
        PriorError: There is no model of that name.
        UsageError: A commit is given for a folder.
    """
    if folder.is_dir():
        if commit:
            raise UsageError(f"{kind.what} {name!r} is local and has no revisions. Leave the revision out.")
        if not (folder / kind.file).is_file():
            what = "tokenizer" if kind is TOKENIZER else "model"
            raise PriorError(f"{folder} is not a {what} folder: it holds no {kind.file}.")
        return str(folder), folder_revision(folder, with_code)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise PriorError(f"no {kind.what} folder {name!r}. Name {kind.names}.")
    return name, pinned_sha("model", name, commit, PriorError, kind.what)


def locate_tokenizer(name: str, commit: str | None, trust_remote_code: bool) -> tuple[str, str]:
    """Return the location of a tokenizer and what pins it; see `locate`.

    Args:
        name: `embedded`, a folder, or a Hub id.
        commit: Branch, tag or commit of a Hub model.
        trust_remote_code: Whether its repository may run its Python code on this machine.

    Raises:
        PriorError: There is no tokenizer of that name.
        UsageError: A commit is given for a folder.
    """
    folder = prior_folder(PriorConfig(name, trust_remote_code=True))
    return locate_model(TOKENIZER, name, folder, commit, trust_remote_code)


def load_tokenizer(name: str, commit: str | None, trust_remote_code: bool) -> Tokenizer:
    """Load a tokenizer without truncation and padding; for the arguments see `locate_tokenizer`.

    Raises:
        PriorError: The tokenizer cannot be loaded, or is not a fast one.
        UsageError: A commit is given for a folder.
    """
    location, revision = locate_tokenizer(name, commit, trust_remote_code)
    if name == "embedded":
        return EmbeddedTokenizer.load(Path(location)).backend_tokenizer
    from transformers import AutoTokenizer

    options = {"revision": None if Path(location).is_dir() else revision, "trust_remote_code": trust_remote_code}
    found = loaded(TOKENIZER, name, "files", AutoTokenizer.from_pretrained, location, **options)
    check_fast(TOKENIZER, name, found)
    tokenizer = Tokenizer.from_str(found.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def pinned(config: PriorConfig) -> tuple[PriorConfig, str]:
    """Return the settings with a Hub prior's commit instead of a branch, and what pins the prior; nothing is loaded.

    Raises:
        PriorError: There is no prior of that name.
        UsageError: There is no such class.
    """
    if config.is_own:
        return pinned_own(config)
    location, revision = locate(config)
    return (config if Path(location).is_dir() else replace(config, revision=revision)), revision


def resolved(config: PriorConfig) -> tuple[PriorConfig, str]:
    """Return the pinned settings with `auto` dtype resolved for the device on this machine; nothing is loaded.

    Raises:
        PriorError: There is no such prior, or no such device.
    """
    config, revision = pinned(config)
    dtype = dtype_on(config.dtype, device_of(config.device).type)
    return replace(config, dtype=dtype), revision


def loaded(kind: Kind, name: str, part: str, loader: Any, location: Any, **options: Any) -> Any:
    """Call a loader of `transformers`, on a folder, a name or a configuration, and convert its errors into one.

    Raises:
        PriorError: The loader fails.
    """
    try:
        return loader(location, **options)
    except Exception as error:
        said = str(error).replace(str(location), "")  # the name of a folder gives no advice
        if "trust_remote_code" in said:
            advice = "Its repository contains Python code; if you trust it, use --trust-remote-code."
        elif "safetensors" in said and not isinstance(error, FileNotFoundError):  # which names a shard that is missing
            advice = "Only safetensors weights are loaded; convert the model, or name another."
        elif "mismatched" in said:
            advice = "Its weights have other shapes than its config.json states."
        elif kind.auto in said:
            advice = kind.advice
        else:
            advice = f"Check that it is {kind.whole}."
        raise PriorError(
            f"cannot load the {part} of {kind.what} {name!r}: {_ended(in_one_line(error))} {advice}"
        ) from error


def _ended(sentence: str) -> str:
    """Return a sentence with a full stop, which messages of libraries often lack."""
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def check_fast(kind: Kind, name: str, tokenizer: Any) -> None:
    """Refuse a tokenizer that is not a fast one.

    Raises:
        PriorError: The tokenizer is not a fast one.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise PriorError(
            f"{kind.what} {name!r} has no fast tokenizer, and only a fast one maps each token to its "
            f"characters. Name a {kind.what} whose repository holds a tokenizer.json."
        )


def context_of(model_config: Any) -> int | None:
    """Return the positions that a model reads at once, from its `transformers` configuration; None if not specified."""
    text_config = model_config.get_text_config()
    values = (getattr(text_config, key, None) for key in _CONTEXT_KEYS)
    return next((value for value in values if isinstance(value, int) and value > 1), None)


def device_of(name: str) -> torch.device:
    """Return a device of this machine.

    Args:
        name: See `PriorConfig`.

    Raises:
        PriorError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device  # with its index, since `cuda` means a thread's current device
    except (RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())[:120]
        raise PriorError(f"device {name!r} is not available here ({why}). Use auto or cpu.") from error


def dtype_on(name: Dtype, device_type: str) -> Dtype:
    """Return a dtype with `auto` resolved for a type of device."""
    if name == "auto":
        return "float32" if device_type == "cpu" else "bfloat16"
    return name
