"""Isolation of documents that a model fails on: they are read one at a time, so that the others are still read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

from hf_toedit.errors import PriorError, UsageError, in_one_line

logger = logging.getLogger(__name__)

EXAMPLE = "Once upon a time."
"""A text that every working model can read."""

Item = TypeVar("Item", bound=Sized)
Result = TypeVar("Result")


def read_apart(
    read: Callable[[Sequence[Item], list[str]], list[Result | None]],
    documents: Sequence[Item],
    reasons: list[str],
    what: str,
) -> list[Result | None]:
    """Read documents with a model together and, if it fails, one at a time.

    Args:
        read: Reads some documents with the model and returns a result for each; for a document without a result it
            returns None and adds a reason to its second argument.
        documents: Documents; the length of each is its number of tokens.
        reasons: Receives the reason for each document without a result.
        what: What the model is, for messages.

    Returns:
        A result for each document; None for one that the model fails on even alone.

    Raises:
        PriorError: No document can be read, for example because memory runs out.
    """
    if not documents:
        return []
    said: list[str] = []
    try:
        results = read(documents, said)
    except (PriorError, UsageError):
        raise
    except Exception as error:
        if len(documents) == 1:
            reasons.append(in_one_line(error))
            logger.warning("%s failed on a document of %d tokens: %s", what, len(documents[0]), reasons[-1])
            return [None]
        logger.warning("%s failed on a batch (%s); scoring its documents one at a time.", what, in_one_line(error))
        return [read_apart(read, [document], reasons, what)[0] for document in documents]
    reasons += said
    return results
