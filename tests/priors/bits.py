"""Bitwise comparison of two results."""

from __future__ import annotations

import numpy as np

from hf_toedit.editing.prior import DocumentScores


def same_bits(left: list[DocumentScores], right: list[DocumentScores]) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "logprobs")
        for a, b in zip(left, right, strict=True)
        for name in ("logprobs", "positions", "candidate_ids", "candidate_logprobs")
    )
