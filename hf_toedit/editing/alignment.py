"""Alignment of tokens and text: the characters of each token, its surface form, and whether it may be edited.

This module uses the fast tokenizer's own description (`tokenizer.json`), for byte-level BPE, SentencePiece BPE with
byte fallback, Unigram and WordPiece. It never decodes a sequence: a token's surface is its text on its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from hf_toedit.editing.guards import Guards
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.words import Shape, shape_of

ELIGIBLE, SPECIAL, PARTIAL, MISMATCH, OVERLAP, PROTECTED, CONTEXT = range(7)
CAUSES = {
    SPECIAL: "special_token",
    PARTIAL: "partial_character",
    MISMATCH: "normalized",
    OVERLAP: "shared_characters",
    PROTECTED: "protected",
}
"""Reasons why a token is not eligible, as named in statistics. `CONTEXT` has none, since it is not text to edit."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class Document:
    """One text, or one passage, as a prior reads it.

    Attributes:
        text: The complete text that is read.
        ids: int32 `[n]`, token ids without BOS.
        starts: int32 `[n]`, first character of each token in `text`.
        ends: int32 `[n]`, one past the last character of each token.
        causes: uint8 `[n]`, `ELIGIBLE`, a key of `CAUSES`, or `CONTEXT`.
    """

    text: str
    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    causes: np.ndarray

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    @cached_property
    def eligible(self) -> np.ndarray:
        """Bool `[n]`: tokens that may be edited."""
        return self.causes == ELIGIBLE

    @cached_property
    def own(self) -> np.ndarray:
        """Bool `[n]`: tokens of a text to edit; the others are context, which is read but not scored."""
        return self.causes != CONTEXT


@dataclass(frozen=True)
class Surface:
    """The text of one vocabulary entry.

    Attributes:
        text: Its characters; None if it is special, added, empty, or not complete UTF-8.
        cause: `ELIGIBLE`, `SPECIAL` or `PARTIAL`.
        joins: Whether it joins its neighbours in a way that its text does not show (WordPiece's `##`, BPE's `</w>`);
            a token may only be replaced with one that joins in the same way.
    """

    text: str | None
    cause: int
    joins: bool = False


class Aligner:
    """Converts texts to `Document`s and vocabulary entries to `Surface`s."""

    def __init__(self, tokenizer: Tokenizer, protect: tuple[str, ...] = ()) -> None:
        """Copy a fast tokenizer, without truncation, padding, dropout and trimmed offsets.

        Args:
            tokenizer: Backend of a fast tokenizer, which is not modified.
            protect: See `EditConfig.protect`.
        """
        spec = json.loads(tokenizer.to_str())
        self._spelling = _Spelling(spec)
        self._tokenizer = Tokenizer.from_str(json.dumps(_lossless(spec)))
        self._added = set(self._tokenizer.get_added_tokens_decoder())
        self._unknown = _unknown_token(spec["model"])
        self._surfaces = _Surfaces(self._spell)
        self.guards = Guards(protect)
        self._shape_numbers: dict[Shape, int] = {}

    def align(self, texts: Sequence[str | Passage]) -> list[Document]:
        """Tokenize texts, without special tokens, and determine which tokens may be edited.

        Args:
            texts: Texts to edit, or passages that contain some; each must be valid Unicode (no lone surrogates).

        Returns:
            One document per text; a passage is tokenized as a whole.
        """
        passages = [Passage.of(text) if isinstance(text, str) else text for text in texts]
        encodings = self._tokenizer.encode_batch([passage.text for passage in passages], add_special_tokens=False)
        return [self._document(passage, encoding) for passage, encoding in zip(passages, encodings, strict=True)]

    def surface(self, token_id: int) -> Surface:
        """Return the surface of a vocabulary entry."""
        return self._surfaces[token_id]

    def admissible(
        self, original_ids: np.ndarray, candidate_ids: np.ndarray, exclude_original: bool = False
    ) -> np.ndarray:
        """Return which candidates may replace the original tokens.

        Args:
            original_ids: int `[m]`.
            candidate_ids: int `[m, k]`.
            exclude_original: Exclude candidates with the same text as the original.

        Returns:
            bool `[m, k]`: True for candidates that are complete, valid UTF-8, not empty, not special or added, and join
            like the original; if words are protected, also a word for a word and punctuation for punctuation, with the
            same spaces.
        """
        used, columns = np.unique(candidate_ids, return_inverse=True)
        surfaces = [self.surface(int(token_id)) for token_id in used]
        whole = np.array([surface.text is not None for surface in surfaces], dtype=bool)
        joins = np.array([surface.joins for surface in surfaces], dtype=bool)
        original_joins = np.array([self.surface(int(token_id)).joins for token_id in original_ids], dtype=bool)
        columns = columns.reshape(candidate_ids.shape)
        allowed = whole[columns] & (joins[columns] == original_joins[:, None])
        if self.guards.keep_words:
            shapes = self._shapes(used)[columns]
            allowed &= (shapes >= 0) & (shapes == self._shapes(original_ids)[:, None])
        if exclude_original:
            texts = np.array([surface.text for surface in surfaces], dtype=object)
            originals = np.array([self.surface(int(token_id)).text for token_id in original_ids], dtype=object)
            allowed &= texts[columns] != originals[:, None]
        return allowed

    def _shapes(self, token_ids: np.ndarray) -> np.ndarray:
        """Return a number for each token's shape, equal for equal shapes; -1 for a token without a shape."""
        numbers = self._shape_numbers
        shapes = [shape_of(self.surface(int(token_id)).text or "") for token_id in token_ids]
        return np.array([-1 if shape is None else numbers.setdefault(shape, len(numbers)) for shape in shapes], int)

    def _document(self, passage: Passage, encoding: Any) -> Document:
        text = passage.text
        ids = np.array(encoding.ids, dtype=np.int32)
        offsets = np.fromiter(chain.from_iterable(encoding.offsets), np.int32, 2 * len(ids)).reshape(-1, 2)
        starts, ends = np.ascontiguousarray(offsets[:, 0]), np.ascontiguousarray(offsets[:, 1])
        causes = self._spelled_causes(text, encoding, starts, ends)
        causes[(causes == ELIGIBLE) & _overlapping(starts, ends)] = OVERLAP
        owners = passage.owners(starts, ends)
        for index, (first, stop) in enumerate(passage.spans):
            tokens = np.flatnonzero((causes == ELIGIBLE) & (owners == index))
            protected = self.guards.protected(text[first:stop], starts[tokens] - first, ends[tokens] - first)
            causes[tokens[protected]] = PROTECTED
        causes[owners < 0] = CONTEXT
        return Document(text, ids, starts, ends, causes)

    def _spelled_causes(self, text: str, encoding: Any, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Mark tokens that are special, partial, or do not spell their slice of the text; uint8 `[n]`, see `causes`."""
        surfaces = list(map(self._surfaces.__getitem__, encoding.ids))
        spelled = [surface.text for surface in surfaces]
        lengths = np.fromiter((-1 if part is None else len(part) for part in spelled), np.int32, len(spelled))
        doubtful = np.flatnonzero(lengths != ends - starts)
        causes = np.full(len(surfaces), ELIGIBLE, dtype=np.uint8)
        for index in doubtful.tolist():
            causes[index] = MISMATCH if surfaces[index].cause == ELIGIBLE else surfaces[index].cause
            spelled[index] = text[starts[index] : ends[index]]
        # Adjacent tokens are compared all at once, which is much faster than one by one.
        if len(spelled) and np.array_equal(starts[1:], ends[:-1]) and "".join(spelled) == text[starts[0] : ends[-1]]:  # type: ignore[arg-type]
            return causes
        for index, (start, end) in enumerate(encoding.offsets):
            if text[start:end] != spelled[index]:
                causes[index] = MISMATCH
        return causes

    def _spell(self, token_id: int) -> Surface:
        token = self._tokenizer.id_to_token(token_id)
        # Priors may have more logits than the tokenizer has entries: such a token has no text.
        if token is None or token_id in self._added or token == self._unknown:
            return Surface(None, SPECIAL)
        spelled, joins = self._spelling.spell(token)
        if spelled is None:
            return Surface(None, PARTIAL)
        return Surface(spelled, ELIGIBLE, joins) if spelled else Surface(None, SPECIAL)


class _Surfaces(dict[int, Surface]):
    """Cache of surfaces, since documents use few distinct vocabulary entries."""

    def __init__(self, spell: Callable[[int], Surface]) -> None:
        self._spell = spell

    def __missing__(self, token_id: int) -> Surface:
        surface = self[token_id] = self._spell(token_id)
        return surface


class _Spelling:
    """How a tokenizer writes text into its vocabulary entries, derived from its decoder and model."""

    def __init__(self, spec: dict[str, Any]) -> None:
        parts = _parts(spec.get("decoder")) + _parts(spec.get("pre_tokenizer"))
        kinds = {part["type"] for part in parts}
        self._byte_level = "ByteLevel" in kinds
        self._byte_fallback = bool(spec["model"].get("byte_fallback")) or "ByteFallback" in kinds
        self._space = _space_symbol(parts + _parts(spec.get("normalizer")))
        self._prefix = spec["model"].get("continuing_subword_prefix") or ""
        self._suffix = spec["model"].get("end_of_word_suffix") or ""

    def spell(self, token: str) -> tuple[str | None, bool]:
        """Return the characters of a vocabulary entry (None: incomplete UTF-8), and whether it joins a neighbour."""
        joins = False
        if self._prefix and token.startswith(self._prefix):
            token, joins = token.removeprefix(self._prefix), True
        elif self._suffix and token.endswith(self._suffix):
            token, joins = token.removesuffix(self._suffix), True
        if self._byte_level:
            return _utf8(_bytes_of(token)), joins
        if self._byte_fallback and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return _utf8(bytes([int(token[3:5], 16)])), joins
        return (token.replace(self._space, " ") if self._space else token), joins


def _lossless(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a tokenizer description without settings that cut, pad, randomize or misplace tokens."""
    spec = json.loads(json.dumps(spec))
    spec["truncation"] = spec["padding"] = None
    if spec["model"].get("dropout"):
        spec["model"]["dropout"] = None
    for part in _parts(spec.get("post_processor")) + _parts(spec.get("pre_tokenizer")):
        if "trim_offsets" in part:
            part["trim_offsets"] = False
    return spec


def _parts(component: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return a tokenizer component and, if it is a sequence, its members."""
    if component is None:
        return []
    members = [
        member
        for key in ("decoders", "pretokenizers", "processors", "normalizers")
        for child in component.get(key) or []
        for member in _parts(child)
    ]
    return [component, *members]


def _unknown_token(model: dict[str, Any]) -> str | None:
    """Return the entry for text that the vocabulary cannot spell; Unigram refers to it by id."""
    unk_id = model.get("unk_id")
    return model.get("unk_token") if unk_id is None else model["vocab"][unk_id][0]


def _space_symbol(parts: list[dict[str, Any]]) -> str | None:
    """Return the symbol for a space in a SentencePiece-like vocabulary (U+2581 in practice)."""
    for part in parts:
        if part["type"] == "Metaspace":
            return part["replacement"]
        if part["type"] == "Replace":
            pattern, content = part["pattern"].get("String"), part["content"]
            if pattern == " ":
                return content
            if content == " " and pattern:
                return pattern
    return None


def _byte_symbols() -> dict[str, int]:
    """Return the alphabet of byte-level BPE: printable Latin-1 is itself, other bytes are U+0100 and up, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


_BYTE_OF_SYMBOL = _byte_symbols()


def _bytes_of(token: str) -> bytes | None:
    values = [_BYTE_OF_SYMBOL.get(symbol) for symbol in token]
    return None if None in values else bytes(values)  # type: ignore[arg-type]


def _utf8(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _overlapping(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Mark tokens that share characters with others, or are not in the order of the text; bool `[n]`."""
    if len(starts) == 0:
        return np.zeros(0, dtype=bool)
    reached = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]])
    next_start = np.concatenate([np.minimum.accumulate(starts[::-1])[::-1][1:], [np.iinfo(np.int32).max]])
    return (starts < reached) | (ends > next_start)
