"""Sampling of a new token for each selected one, from uniforms keyed by the document alone."""

from __future__ import annotations

import hashlib

import numpy as np

from hf_toedit.editing.samplers import Sampler
from hf_toedit.errors import UsageError


class KeyedUniforms:
    """Uniform numbers in [0, 1) that depend on (seed, generation, document text, token position) only.

    A counter-based generator (Philox 4x64) is keyed by a BLAKE2b digest. Documents share no state, so shards, workers,
    batches and their order cannot change a sample. The raw bits, which numpy keeps stable, are scaled here.
    """

    def __init__(self, seed: int, generation: int, text: str) -> None:
        """Derive the key of one document in one generation."""
        message = f"{seed}:{generation}:".encode() + text.encode("utf-8")
        digest = hashlib.blake2b(message, digest_size=16, person=b"hf-toedit draws").digest()
        self._key = np.frombuffer(digest, dtype="<u8")

    def stream(self, number: int, length: int) -> np.ndarray:
        """Return the first `length` uniforms of stream `number`, one per token position; float64 `[length]`."""
        counter = np.array([0, number, 0, 0], dtype=np.uint64)
        raw = np.random.Philox(key=self._key, counter=counter).random_raw(length)
        return (raw >> np.uint64(11)) * 2.0**-53


def draw(
    sampler: Sampler,
    uniforms: KeyedUniforms,
    positions: np.ndarray,
    candidate_ids: np.ndarray,
    candidate_logprobs: np.ndarray,
    admissible: np.ndarray,
) -> np.ndarray:
    """Sample one candidate for each selected token.

    Args:
        sampler: The sampler.
        uniforms: Uniforms of the document.
        positions: int `[m]`, token positions of the selected tokens, ascending.
        candidate_ids: int `[m, k]`, padded where `candidate_logprobs` is -inf.
        candidate_logprobs: float32 `[m, k]`.
        admissible: bool `[m, k]`; False gives probability zero, and the rest is renormalized.

    Returns:
        int64 `[m]`: the sampled token ids, -1 if no candidate is admissible.

    Raises:
        UsageError: A user-defined sampler does not return one column per token.
    """
    if len(positions) == 0:
        return np.empty(0, dtype=np.int64)
    order = _by_probability(candidate_ids, candidate_logprobs)
    ids = np.take_along_axis(candidate_ids, order, axis=1).astype(np.int64)
    logprobs = np.take_along_axis(candidate_logprobs, order, axis=1).astype(np.float64)
    allowed = np.take_along_axis(admissible, order, axis=1) & np.isfinite(logprobs)
    length = int(positions[-1]) + 1
    column = sampler.draw(
        np.where(allowed, logprobs, -np.inf), lambda number: uniforms.stream(number, length)[positions]
    )
    _check_columns(sampler, column, ids.shape)
    rows = np.arange(len(ids))
    return np.where(allowed[rows, column], ids[rows, column], -1)


def _check_columns(sampler: Sampler, column: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse columns that do not exist.

    Raises:
        UsageError: A column does not exist.
    """
    is_right = isinstance(column, np.ndarray) and column.dtype.kind in "iu" and column.shape == shape[:1]
    if not (is_right and (column >= 0).all() and (column < shape[1]).all()):
        raise UsageError(
            f"{type(sampler).__name__}.draw must return an array of {shape[0]} whole numbers from 0 to {shape[1] - 1}, "
            f"the column of each token. Fix the sampler."
        )


def _by_probability(ids: np.ndarray, logprobs: np.ndarray) -> np.ndarray:
    """Return columns by descending probability, ties by token id: the order in which samplers read them."""
    by_id = np.argsort(ids, axis=1, kind="stable")
    by_logprob = np.argsort(-np.take_along_axis(logprobs, by_id, axis=1), axis=1, kind="stable")
    return np.take_along_axis(by_id, by_logprob, axis=1)
