"""The priors of a server: the default one, and the few that visitors requested last. No Gradio.

Visitors can name public models of the Hub whose weights are safetensors of bounded size. The code of a model is never
run, and repositories that only the server's own token can read are not accessible.
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
"""Number of visitors' priors that stay in memory."""

_WEIGHTS = ("model*.safetensors",)
_OTHERS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Other files to download."""

_MAX_LAYERS = 1000
"""Maximum number of layers of a model; even computing the size of a deeper one takes long."""

_PATIENCE_S = 5.0
"""Maximum time that a visitor waits for another visitor's download; all further requests would wait behind it."""


class SharedPrior:
    """A prior that limits concurrent calls to the number that it can use; see `Prior`."""

    def __init__(self, prior: Prior) -> None:
        """Share a prior.

        Args:
            prior: The prior; from now on called only through this object.
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
        """Score each document once, whole; see `Prior.score`."""
        with self._turns:
            return self._prior.score(documents, rule)

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Render a conversation in the prior's format; see `Prior.render`."""
        return self._prior.render(messages)


class Priors:
    """Priors by name, shared by all visitors."""

    def __init__(self, settings: SpaceSettings) -> None:
        """Load the default prior.

        Args:
            settings: What visitors may do.
        """
        self._settings = settings
        self._first = SharedPrior(load_prior(settings.prior))
        self._kept: LRUCache[str, SharedPrior] = LRUCache(NUM_KEPT)
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def get(self, name: str) -> SharedPrior:
        """Return a prior by its name, and load it if necessary.

        Args:
            name: `embedded`, a Hub id or, if the settings allow it, a folder.

        Raises:
            PriorError: The prior is not allowed here, is too large, or cannot be found or loaded.
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
            while len(self._kept) >= NUM_KEPT:  # free memory before the next prior is loaded
                self._kept.popitem()
        prior = SharedPrior(load_prior(config))
        with self._lock:
            self._kept[name] = prior
        return prior

    def _checked(self, name: str) -> PriorConfig:
        """Return the settings of a prior that a visitor may use."""
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
                return PriorConfig(name)  # use the cached model, if there is one: nothing can be downloaded
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
    """Whether a model would take more memory than one whose files have the maximum size.

    Weights that a configuration names and no file contains would be initialized; a tiny file could use up all memory.
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
        return False  # loading fails as well, before it takes memory, and reports the reason
    # Parameters are float32; the files contain 16 bits per weight.
    return sum(weight.numel() for weight in model.parameters()) * 4 > max_bytes * 2


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.3g} GB"
