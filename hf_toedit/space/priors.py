"""The priors of a server: the one that is offered first, and the few that visitors asked for last; no Gradio.

Visitors name models of the Hub that anybody may read, whose weights are safetensors of bounded size. Their code is
never run, and what the server's own token could read stays out of their reach.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from cachetools import LRUCache

from hf_toedit.config import PriorConfig
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.prior import DocumentScores, Prior
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError
from hf_toedit.hub import is_out_of_reach, public_model
from hf_toedit.priors.names import EMBEDDED
from hf_toedit.priors.registry import load_prior
from hf_toedit.space.permalink import is_hub_id
from hf_toedit.space.settings import SpaceSettings

NUM_KEPT = 2
"""Priors of visitors that stay in memory."""

_WEIGHTS = ("model*.safetensors",)
_OTHERS = ("*.json", "*.txt", "*.model", "*.jinja")
"""What else is fetched."""

_MAX_LAYERS = 1000
"""Of a model; even to find out how large more of them are takes long."""

_PATIENCE_S = 5.0
"""How long a visitor waits while a prior is fetched for another; everybody else would wait behind."""


class SharedPrior:
    """A prior that no more threads call at once than gain by it, whoever they work for; see `Prior`."""

    def __init__(self, prior: Prior) -> None:
        """Share a prior.

        Args:
            prior: called through this object alone from now on.
        """
        self.name = prior.name
        self.revision = prior.revision
        self.dtype = prior.dtype
        self.tokenizer = prior.tokenizer
        self.concurrency = prior.concurrency
        self.batch_bytes = prior.batch_bytes
        self._prior = prior
        self._turns = threading.Semaphore(prior.concurrency)

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        """Read each document once, whole; see `Prior.score`."""
        with self._turns:
            return self._prior.score(documents, rule)

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Write a conversation as the prior reads it; see `Prior.render`."""
        return self._prior.render(messages)


class Priors:
    """Priors by name, shared by all visitors."""

    def __init__(self, settings: SpaceSettings) -> None:
        """Load the one that is offered first.

        Args:
            settings: what visitors may do.
        """
        self._settings = settings
        self._first = SharedPrior(load_prior(settings.prior))
        self._kept: LRUCache[str, SharedPrior] = LRUCache(NUM_KEPT)
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def get(self, name: str) -> SharedPrior:
        """A prior by its name, loaded if need be.

        Args:
            name: `embedded`, a Hub id, or where the settings allow it, a folder.

        Raises:
            PriorError: it may not be named here, is too large, or cannot be found or loaded.
        """
        if name == self._settings.prior.prior:
            return self._first
        if kept := self._recent(name):
            return kept
        if not self._loading.acquire(timeout=_PATIENCE_S):
            raise PriorError(
                f"Another prior is being fetched. Try {name!r} again in a minute, or use {EMBEDDED!r} until then."
            )
        try:
            return self._recent(name) or self._load(name)
        finally:
            self._loading.release()

    def _recent(self, name: str) -> SharedPrior | None:
        with self._lock:
            return self._kept.get(name)

    def _load(self, name: str) -> SharedPrior:
        config = self._checked(name)
        with self._lock:
            while len(self._kept) >= NUM_KEPT:  # before the next one takes its memory
                self._kept.popitem()
        prior = SharedPrior(load_prior(config))
        with self._lock:
            self._kept[name] = prior
        return prior

    def _checked(self, name: str) -> PriorConfig:
        """Settings of a prior that a visitor may have."""
        local = self._settings.local
        if name == EMBEDDED or (local and os.path.isdir(os.path.expanduser(name))):
            return PriorConfig(name)
        if not is_hub_id(name) or os.path.exists(name):
            raise PriorError(
                f"Prior {name!r} cannot be named here. Name a model of the Hub (org/name), or {EMBEDDED!r}."
            )
        try:
            revision, sizes = public_model(name)
        except PriorError as error:
            if local and is_out_of_reach(error):
                return PriorConfig(name)  # of the cache, if it is there: nothing can be fetched
            if is_out_of_reach(error):
                raise PriorError(
                    f"The Hub cannot be reached for prior {name!r}. Try later, or use {EMBEDDED!r}, which needs none."
                ) from error
            raise
        self._check_size(name, sizes)
        config = PriorConfig(name, revision=revision)
        if _is_vast(config, self._settings.max_prior_bytes):
            raise PriorError(
                f"Prior {name!r} declares a size far larger than its files. Name another, or {EMBEDDED!r}."
            )
        return config

    def _check_size(self, name: str, sizes: dict[str, int]) -> None:
        weights, others = (
            sum(size for path, size in sizes.items() if "/" not in path and any(fnmatch(path, kind) for kind in kinds))
            for kinds in (_WEIGHTS, _OTHERS)
        )
        if not weights:
            raise PriorError(f"Prior {name!r} has no weights in safetensors, which are all that is loaded here.")
        most = self._settings.max_prior_bytes
        if weights + others > most:
            raise PriorError(
                f"Prior {name!r} has {_gigabytes(weights + others)} of files; here it may have {_gigabytes(most)}. "
                f"Name a smaller model, or run `hf-toedit preview --prior {name}` on your own machine."
            )


def _is_vast(prior: PriorConfig, max_bytes: int) -> bool:
    """Whether a model would take more memory than one whose files are as large as they may be.

    Weights that a configuration names and no file holds would be made up; a few words could take all memory.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(prior.prior, revision=prior.revision, trust_remote_code=False)
        if getattr(config.get_text_config(), "num_hidden_layers", 0) > _MAX_LAYERS:
            return True
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception:
        return False  # loading it fails as well, before it takes memory, and tells why
    # In float32, where the files hold 16 bits.
    return sum(weight.numel() for weight in model.parameters()) * 4 > max_bytes * 2


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.3g} GB"
