"""Contamination: evaluation text that is also in the training text, found by 13-grams of words.

The method is that of GPT-3 (Brown et al. 2020, "Language Models are Few-Shot Learners", arXiv 2005.14165, Appendix C).
Words are those of `features.ngrams`; a document with fewer than 13 of them cannot be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_toedit.features.hashing import key, mixed
from hf_toedit.features.ngrams import words

ORDER = 13
"""Number of words of an n-gram."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


def gram_hashes(text: str) -> np.ndarray:
    """Return hashes of the 13-grams of a text, in order; uint64 `[max(num_words - 12, 0)]`."""
    found = words(text)
    count = len(found) - ORDER + 1
    if count < 1:
        return np.empty(0, np.uint64)
    hashes = np.fromiter((key(word.encode()) for word in found), np.uint64, len(found))
    grams = np.zeros(count, np.uint64)
    for at in range(ORDER):
        grams = mixed(grams * _ODD ^ hashes[at : at + count])
    return grams


@dataclass(frozen=True)
class EvalGrams:
    """The 13-grams of all evaluation sets.

    Attributes:
        names: Names of the sets.
        grams: Distinct grams, ascending; uint64 `[g]`.
        members: Which sets a gram is in; bool `[g, sets]`.
        gram_of: Index of the gram of each pair of a gram and a document; int64 `[p]`.
        document_of: Document of each pair, numbered over all sets; int64 `[p]`.
        set_of: Set of each document; int64 `[documents]`.
        checked: Whether a document has a 13-gram; bool `[documents]`.
    """

    names: tuple[str, ...]
    grams: np.ndarray
    members: np.ndarray
    gram_of: np.ndarray
    document_of: np.ndarray
    set_of: np.ndarray
    checked: np.ndarray

    @classmethod
    def of(cls, texts: Mapping[str, Sequence[Sequence[str]]]) -> EvalGrams:
        """Hash the documents of evaluation sets.

        Args:
            texts: The texts of each document of each set.
        """
        documents = [
            np.concatenate([np.empty(0, np.uint64), *map(gram_hashes, parts)])
            for found in texts.values()
            for parts in found
        ]
        sizes = np.array([len(grams) for grams in documents], np.int64)
        grams, gram_of = np.unique(np.concatenate([np.empty(0, np.uint64), *documents]), return_inverse=True)
        set_of = np.repeat(np.arange(len(texts)), [len(found) for found in texts.values()])
        document_of = np.repeat(np.arange(len(documents)), sizes)
        members = np.zeros((len(grams), len(texts)), bool)
        members[gram_of, set_of[document_of]] = True
        return cls(tuple(texts), grams, members, gram_of, document_of, set_of, sizes > 0)

    def seen_in(self, parts: Sequence[str]) -> np.ndarray:
        """Return the indices of the grams in a training document, with repeats; int64.

        Args:
            parts: Texts of the document.
        """
        if not len(self.grams):
            return np.empty(0, np.int64)
        hashes = np.concatenate([np.empty(0, np.uint64), *map(gram_hashes, parts)])
        places = np.minimum(np.searchsorted(self.grams, hashes), len(self.grams) - 1)
        return places[self.grams[places] == hashes]


@dataclass(frozen=True)
class Overlap:
    """The overlap of an evaluation set with a variant.

    Attributes:
        num_documents: Number of documents of the evaluation set.
        num_checked: Number of these with 13 words or more.
        num_contaminated: Number of these with a 13-gram of the variant.
        gram_share: Share of the set's distinct 13-grams that the variant contains.
        num_training_documents: Number of documents of the variant with a 13-gram of the set.
    """

    num_documents: int
    num_checked: int
    num_contaminated: int
    gram_share: float
    num_training_documents: int


def overlaps(evals: EvalGrams, seen: np.ndarray, hits: np.ndarray) -> dict[str, Overlap]:
    """Count the overlap of a variant with each evaluation set.

    Args:
        evals: The evaluation sets.
        seen: Which grams the variant contains; bool `[g]`.
        hits: Which training documents have a gram of a set; bool `[n, sets]`.
    """
    contaminated = np.zeros(len(evals.set_of), bool)
    contaminated[evals.document_of[seen[evals.gram_of]]] = True
    found = {}
    for number, name in enumerate(evals.names):
        own = evals.set_of == number
        grams = evals.members[:, number]
        found[name] = Overlap(
            int(own.sum()),
            int(evals.checked[own].sum()),
            int(contaminated[own].sum()),
            float(seen[grams].mean()) if grams.any() else 0.0,
            int(hits[:, number].sum()),
        )
    return found
