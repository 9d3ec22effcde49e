"""Texts as vectors: the mean of the last hidden states of a causal language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from hf_toedit.checked import names_class
from hf_toedit.config import PriorConfig
from hf_toedit.errors import PriorError, UsageError
from hf_toedit.priors import loading
from hf_toedit.priors.body import Body
from hf_toedit.priors.registry import libraries
from hf_toedit.priors.vocabulary import check_bos, obstacle

MOST_TOKENS = 1024
"""Maximum number of tokens to read of a text, from its beginning."""

_STEP = 128
"""Texts are padded to a multiple of this number of tokens."""

_BATCH_TOKENS = 8 * MOST_TOKENS
"""Maximum number of tokens of texts that are read together."""

_MOST_CHARACTERS = 16 * MOST_TOKENS


class Embedder:
    """A causal language model that computes a vector for each text.

    Attributes:
        name: Name as requested.
        revision: Commit sha, or a fingerprint of local files.
    """

    def __init__(self, name: str) -> None:
        """Load the model.

        Args:
            name: Folder, Hub id, or `embedded`.

        Raises:
            PriorError: The model cannot be found or loaded.
            UsageError: The name is a user-defined class, which has no hidden states.
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
        self._vocab_size = loaded.model.config.get_text_config().vocab_size
        check_bos(name, self._bos, self._vocab_size)
        self._context = min(MOST_TOKENS, loaded.context)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], progress: Callable[[], None] = lambda: None) -> np.ndarray:
        """Return the mean of the last hidden states of the tokens of each text; float32 `[texts, hidden]`.

        BOS is read but not in the mean, except for a text without tokens; without BOS, such a text has zeros.

        Args:
            texts: The texts.
            progress: Callback; called after each text.

        Raises:
            PriorError: The model does not have a token of a text.
        """
        size = self._body.model.config.get_text_config().hidden_size
        vectors = np.zeros((len(texts), size), np.float32)
        ids = [self._ids(text) for text in texts]
        for batch in _batches([len(each) for each in ids]):
            filled = [index for index in batch if len(ids[index])]
            # Few different lengths, since libraries set up a product for each; a causal model ignores end padding.
            longest = max((len(ids[index]) for index in filled), default=0)
            length = min(longest + -longest % _STEP, self._context)
            padded = [np.pad(ids[index], (0, length - len(ids[index])), mode="edge") for index in filled]
            parts = self._body.padded(padded).float().split(length) if filled else ()
            for index, hidden in zip(filled, parts, strict=True):
                count = len(ids[index])
                vectors[index] = hidden[min(len(self._bos), count - 1) : count].mean(dim=0).cpu().numpy()
            for _ in batch:
                progress()
        return vectors

    def _ids(self, text: str) -> np.ndarray:
        """Return BOS and the ids of the first tokens of a text; int64."""
        found = self._tokenizer.encode(text[:_MOST_CHARACTERS], add_special_tokens=False).ids
        if why := obstacle(self.name, found, self._vocab_size):
            raise PriorError(f"{why} Name another model.")
        return np.array([*self._bos, *found[: self._context - len(self._bos)]], np.int64)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices of texts of similar length, at most `_BATCH_TOKENS` when padded together, or a single one."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
