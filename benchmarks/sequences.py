"""Input of the columns without support for long documents: token ids, at most the prior's context at a time.

Imports nothing that vLLM's Python environment may lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from hf_toedit.priors.packing import windows


class Part(NamedTuple):
    """A window of a document, as a prompt.

    Attributes:
        document: Index of the document.
        start: The document's first token in the window, after BOS.
        ids: Token ids, with BOS if there is one.
        score_from: Index into `ids` of the first token to score; earlier ones are only context.
    """

    document: int
    start: int
    ids: list[int]
    score_from: int


def parts(documents: Iterable[list[int]], context: int, bos: int | None) -> list[Part]:
    """Return prompts of at most `context` tokens, which together score each token once, as the editor's windows do.

    The last position is left free: vLLM must generate a token.
    """
    num_bos = 0 if bos is None else 1
    return [
        Part(
            window.document,
            window.start,
            [bos] * num_bos + ids[window.start : window.stop],
            window.score_from - window.start + num_bos,
        )
        for index, ids in enumerate(documents)
        for window in windows(index, np.ones(len(ids), dtype=bool), context - 2, num_bos)
    ]


def padded(sequences: Sequence[Sequence[int] | np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return stacked token ids, padded with zeros at the end, and their mask; int64 `[n, longest]` each."""
    ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask
