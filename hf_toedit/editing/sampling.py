"""Draws: a new token for each selected one, from uniforms keyed by the document alone."""

from __future__ import annotations

import hashlib

import numpy as np

from hf_toedit.config import EditConfig

_MAX_ROUNDS = 10_000


class KeyedUniforms:
    """Uniform numbers in [0, 1) that depend on (seed, generation, document text, token position) only.

    A counter-based generator (Philox 4x64) keyed by a BLAKE2b digest: no state passes between documents, so shards,
    workers, batches and their order cannot change a draw. Raw bits are scaled here, which numpy keeps stable.
    """

    def __init__(self, seed: int, generation: int, text: str) -> None:
        """Derive the key of one document in one generation."""
        message = f"{seed}:{generation}:".encode() + text.encode("utf-8")
        digest = hashlib.blake2b(message, digest_size=16, person=b"hf-toedit draws").digest()
        self._key = np.frombuffer(digest, dtype="<u8")

    def stream(self, number: int, length: int) -> np.ndarray:
        """The first `length` uniforms of stream `number`, one a token position; float64 `[length]`."""
        counter = np.array([0, number, 0, 0], dtype=np.uint64)
        raw = np.random.Philox(key=self._key, counter=counter).random_raw(length)
        return (raw >> np.uint64(11)) * 2.0**-53


def draw(
    config: EditConfig,
    uniforms: KeyedUniforms,
    positions: np.ndarray,
    candidate_ids: np.ndarray,
    candidate_logprobs: np.ndarray,
    admissible: np.ndarray,
) -> np.ndarray:
    """Draw one candidate for each selected token (paper, equation 1 and Table 5).

    Args:
        config: the sampler and its temperature.
        uniforms: of the document.
        positions: int `[m]`, token positions of the selected tokens, ascending.
        candidate_ids: int `[m, k]`, padded where `candidate_logprobs` is -inf.
        candidate_logprobs: float32 `[m, k]`.
        admissible: bool `[m, k]`; False has probability zero and the rest is renormalised.

    Returns:
        int64 `[m]`: the drawn token ids, -1 where no candidate is admissible.
    """
    if len(positions) == 0:
        return np.empty(0, dtype=np.int64)
    order = _by_probability(candidate_ids, candidate_logprobs)
    ids = np.take_along_axis(candidate_ids, order, axis=1).astype(np.int64)
    logprobs = np.take_along_axis(candidate_logprobs, order, axis=1).astype(np.float64)
    allowed = np.take_along_axis(admissible, order, axis=1) & np.isfinite(logprobs)
    weights = _weights(logprobs, allowed, config.temperature)
    if config.sampler == "rejection":
        column = _reject(weights, allowed, uniforms, positions)
    else:
        column = _invert(weights, uniforms.stream(0, int(positions[-1]) + 1)[positions])
    drawn = ids[np.arange(len(ids)), column]
    return np.where(allowed.any(axis=1), drawn, -1)


def _by_probability(ids: np.ndarray, logprobs: np.ndarray) -> np.ndarray:
    """Columns from the likeliest candidate down, ties by token id: the order in which draws read them."""
    by_id = np.argsort(ids, axis=1, kind="stable")
    by_logprob = np.argsort(-np.take_along_axis(logprobs, by_id, axis=1), axis=1, kind="stable")
    return np.take_along_axis(by_id, by_logprob, axis=1)


def _weights(logprobs: np.ndarray, allowed: np.ndarray, temperature: float) -> np.ndarray:
    """exp((logp - max) / temperature) where allowed, else 0; the max is over the allowed candidates."""
    masked = np.where(allowed, logprobs, -np.inf)
    top = masked.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(allowed, np.exp((masked - top) / temperature), 0.0)


def _invert(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Inverse of the cumulative distribution at `uniform`; int `[m]`."""
    cumulative = np.cumsum(weights, axis=1)
    goal = uniform[:, None] * cumulative[:, -1:]
    column = (cumulative <= goal).sum(axis=1)
    # Rounding may place the goal on the total itself: the last candidate with any weight is the answer then.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.minimum(column, last)


def _reject(weights: np.ndarray, allowed: np.ndarray, uniforms: KeyedUniforms, positions: np.ndarray) -> np.ndarray:
    """Statistical rejection sampling: propose an allowed candidate uniformly, accept with its weight (at most 1)."""
    column = np.argmax(weights, axis=1)
    open_rows = np.flatnonzero(allowed.any(axis=1))
    length = int(positions[-1]) + 1
    # Column numbers with the allowed ones first, so that a uniform picks among those only.
    ranked = np.argsort(~allowed, axis=1, kind="stable")
    for attempt in range(_MAX_ROUNDS):
        if len(open_rows) == 0:
            break
        at = positions[open_rows]
        proposal = uniforms.stream(2 * attempt + 1, length)[at]
        choice = (proposal * allowed[open_rows].sum(axis=1)).astype(np.int64)
        proposed = ranked[open_rows, choice]
        accepted = uniforms.stream(2 * attempt + 2, length)[at] < weights[open_rows, proposed]
        column[open_rows[accepted]] = proposed[accepted]
        open_rows = open_rows[~accepted]
    return column
