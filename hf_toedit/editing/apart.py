"""Documents that a model fails on are found by having it read them one at a time; the others are read all the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

from hf_toedit.errors import PriorError, UsageError, in_one_line

logger = logging.getLogger(__name__)

EXAMPLE = "Once upon a time."
"""A text that any model can read that works at all."""

Item = TypeVar("Item", bound=Sized)
Result = TypeVar("Result")


def read_apart(
    read: Callable[[Sequence[Item], list[str]], list[Result | None]],
    documents: Sequence[Item],
    reasons: list[str],
    what: str,
) -> list[Result | None]:
    """Have a model read documents together and, where it fails, one at a time.

    Args:
        read: Has the model read some, and returns a result for each; None, with a reason in its second argument, for
            one that it has no answer to.
        documents: The length of each is its number of tokens.
        reasons: Why there is no result, for each document that has none, is put here.
        what: The model is, in messages.

    Returns:
        A result for each; None for one that the model fails on even alone.

    Raises:
        PriorError: No document can be read here, as where memory runs out.
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
