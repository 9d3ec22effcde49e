"""The scores of a document, put together from those of packs in any order."""

from __future__ import annotations

import numpy as np

from hf_toedit.editing.alignment import Aligner
from hf_toedit.priors import embedded
from hf_toedit.priors.answer import Answer
from hf_toedit.priors.head import HeadScores
from hf_toedit.priors.loading import EmbeddedTokenizer

INF = np.inf


def pack(logprobs: list[float], rows: list[int], ids: list[list[int]], candidates: list[list[float]]) -> HeadScores:
    return HeadScores(
        np.array(logprobs, np.float32), np.array(rows), np.array(ids, np.int32), np.array(candidates, np.float32)
    )


def test_packs_come_in_any_order_with_nuclei_of_any_width():
    (document,) = Aligner(EmbeddedTokenizer.load(embedded.path()).backend_tokenizer).align(["one two three four five"])
    assert len(document) >= 5
    sampled = np.arange(len(document)) == 2
    answer = Answer(document, sampled)
    # Each pack has rows of other documents, before and after; their nuclei are wider.
    later = pack([-9, -0.3, -0.4, -9], [0, 2, 3], [[5, 6, 7], [8, 0, 0], [5, 6, 7]],
                 [[-1, -2, -3], [-1, -INF, -INF], [-1, -2, -3]])  # fmt: skip
    first = pack([-9, -0.1, -0.2, -9], [0, 1, 2, 3], [[5, 6, 7], [1, 2, 0], [3, 0, 0], [5, 6, 7]],
                 [[-1, -2, -3], [-1, -2, -INF], [-4, -INF, -INF], [-1, -2, -3]])  # fmt: skip
    answer.take(np.array([3, 4]), later, 1)
    answer.take(np.array([1, 2]), first, 1)
    scores = answer.finish()
    expected = np.full(len(document), np.nan, np.float32)
    expected[1:5] = [-0.1, -0.2, -0.3, -0.4]
    assert np.array_equal(scores.logprobs, expected, equal_nan=True)
    assert scores.positions.tolist() == [1, 2, 4]
    assert scores.candidate_ids.tolist() == [[1, 2], [3, 0], [8, 0]]
    assert scores.candidate_logprobs.tolist() == [[-1, -2], [-4, -INF], [-1, -INF]]
    assert scores.sampled is sampled


def test_a_document_without_a_scored_token():
    (document,) = Aligner(EmbeddedTokenizer.load(embedded.path()).backend_tokenizer).align(["one two"])
    sampled = np.zeros(len(document), dtype=bool)
    scores = Answer(document, sampled).finish()
    assert np.isnan(scores.logprobs).all() and len(scores.logprobs) == len(document)
    assert len(scores.positions) == len(scores.candidate_ids) == len(scores.candidate_logprobs) == 0
    assert scores.sampled is sampled
