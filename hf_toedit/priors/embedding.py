"""Texts as vectors: the mean of the last hidden states of a causal language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from hf_toedit.checked import names_class
from hf_toedit.config import PriorConfig
from hf_toedit.errors import UsageError
from hf_toedit.priors import loading
from hf_toedit.priors.body import Body
from hf_toedit.priors.registry import libraries

MOST_TOKENS = 1024
"""Tokens of a text that are read, from its beginning."""

_MOST_CHARACTERS = 16 * MOST_TOKENS


class Embedder:
    """A causal language model that gives each text a vector.

    Attributes:
        name: as it was asked for.
        revision: commit sha, or a fingerprint of local files.
    """

    def __init__(self, name: str) -> None:
        """Load the model.

        Args:
            name: of a folder or a Hub id, or `embedded`.

        Raises:
            PriorError: it cannot be found or loaded.
            UsageError: it is a class of the user's own, which has no hidden states.
        """
        if names_class(name):
            raise UsageError(
                f"embedder {name!r} is a class. Name a model: a folder, a Hub id (org/name), or 'embedded'."
            )
        with libraries():
            config, self.revision = loading.pinned(PriorConfig(name))
            loaded = loading.load(config)
        self.name = name
        self._body = Body(loaded.model, loaded.device)
        self._tokenizer = loaded.tokenizer.backend_tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        bos = loaded.tokenizer.bos_token_id
        self._bos = [] if bos is None else [bos]
        self._most = min(MOST_TOKENS, loaded.context) - len(self._bos)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """The mean of the last hidden states of the tokens of each text, float32 `[hidden]`; BOS is read, not counted.

        A text without tokens is the state of BOS; without BOS, zero.
        """
        for text in texts:
            found = self._tokenizer.encode(text[:_MOST_CHARACTERS], add_special_tokens=False).ids[: self._most]
            ids = np.array([*self._bos, *found], np.int64)
            if not len(ids):
                yield np.zeros(self._body.model.config.get_text_config().hidden_size, np.float32)
                continue
            hidden = self._body.padded([ids])[len(self._bos) if found else 0 :]
            yield hidden.float().mean(dim=0).cpu().numpy()
