"""Extraction of the texts in a scored passage, each with its own characters and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hf_toedit.editing.alignment import Document
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.prior import DocumentScores


def excerpts(passage: Passage, document: Document, scores: DocumentScores) -> Iterator[tuple[Document, DocumentScores]]:
    """Extract each text of a passage.

    Args:
        passage: The passage that was read.
        document: Its tokens.
        scores: Scores of its tokens.

    Yields:
        Tokens and scores of each text, in the order of the spans; without context.
    """
    owners = passage.owners(document.starts, document.ends)
    for index, (first, stop) in enumerate(passage.spans):
        tokens = np.flatnonzero(owners == index)
        rows = np.flatnonzero(owners[scores.positions] == index)
        yield (
            Document(
                text=passage.text[first:stop],
                ids=document.ids[tokens],
                starts=document.starts[tokens] - np.int32(first),
                ends=document.ends[tokens] - np.int32(first),
                causes=document.causes[tokens],
            ),
            replace(
                scores,
                logprobs=scores.logprobs[tokens],
                positions=np.searchsorted(tokens, scores.positions[rows]),
                candidate_ids=scores.candidate_ids[rows],
                candidate_logprobs=scores.candidate_logprobs[rows],
                sampled=None if scores.sampled is None else scores.sampled[tokens],
            ),
        )
