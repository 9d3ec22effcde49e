"""Tokens that a model does not have: a tokenizer may be larger than the model that it comes with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_toedit.editing.alignment import Document
from hf_toedit.errors import PriorError


def check_bos(name: str, bos: Sequence[int], vocab_size: int) -> None:
    """Check the tokens before each document.

    Raises:
        PriorError: The model does not have one of them.
    """
    if bos and max(bos) >= vocab_size:
        raise PriorError(
            f"the BOS token of prior {name!r} is {max(bos)}, and the model has {vocab_size} tokens. Its tokenizer is "
            f"larger than the model: use the tokenizer that the model was trained with."
        )


def check_tokens(name: str, documents: Sequence[Document], vocab_size: int) -> None:
    """Check the tokens of documents; a GPU or vLLM would end the process on one that the model does not have.

    Raises:
        ValueError: The model does not have one of them.
    """
    for document in documents:
        if why := obstacle(name, document.ids, vocab_size):
            raise ValueError(why)


def obstacle(name: str, ids: np.ndarray | Sequence[int], vocab_size: int) -> str | None:
    """Return why a model cannot read token ids, as a sentence; None if it can."""
    largest = int(np.max(ids, initial=-1))
    if largest < vocab_size:
        return None
    return (
        f"token {largest} is none of the {vocab_size} that prior {name!r} knows; its tokenizer is larger than the "
        f"model."
    )
