"""What columns that know no long documents are given: token ids, as many as the prior's context holds at a time.

Imports nothing that vLLM's Python may lack.
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
        document: index of the document.
        start: the document's token that stands first, after BOS.
        ids: with BOS, where there is one.
        score_from: index into `ids` of the first token to score; those before are read only.
    """

    document: int
    start: int
    ids: list[int]
    score_from: int


def parts(documents: Iterable[list[int]], context: int, bos: int | None) -> list[Part]:
    """Prompts of at most `context` tokens, which between them score each token once, as the editor's windows do.

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
    """Token ids side by side, zeros behind them, and which of them are no padding; int64 `[n, longest]` each."""
    ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask
