"""Token ids of a variant on disk, and their order in training: blocks of equal length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.editing.alignment import Aligner, Document
from hf_toedit.editing.conversation import Render
from hf_toedit.editing.draft import why_unread
from hf_toedit.editing.passage import Passage
from hf_toedit.probes.contamination import EvalGrams
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.shard import source_rows
from hf_toedit.storage.files import whole_file

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of a token without a loss, as in `transformers`."""

_BATCH = 200
"""Number of documents tokenized at once."""


@dataclass(frozen=True)
class Separators:
    """Tokens around each document.

    Attributes:
        before: Token before a document; None for none.
        after: Token after a document; None for none, for example if it equals the token before the next document.
    """

    before: int | None
    after: int | None

    @classmethod
    def of(cls, tokenizer: Any) -> Separators:
        """Return the separators of a tokenizer of `transformers`: each document is read as a prior reads it."""
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        return cls(bos, None if eos == bos else eos)

    def sequence(self, document: Document) -> np.ndarray:
        """Return the training tokens of a document.

        Separators have a loss if the whole document has.

        Returns:
            int32 `[n]`: token ids; `~id` for tokens without a loss, such as context.
        """
        own = document.own
        around = [[] if token is None else [token if own.all() else ~token] for token in (self.before, self.after)]
        return np.concatenate([around[0], np.where(own, document.ids, ~document.ids), around[1]]).astype(np.int32)


def documents(plan: Plan, aligner: Aligner, render: Render) -> Iterator[tuple[Passage, Document]]:
    """Yield the tokenized documents of a source, in order, without those that have no text to read.

    Args:
        plan: The source's plan.
        aligner: Tokenizes the documents.
        render: Renders conversations.

    Raises:
        SourceError: The source cannot be read.
    """
    passages = _passages(plan, render)
    while batch := list(islice(passages, _BATCH)):
        yield from ((passage, found) for passage, found in zip(batch, aligner.align(batch), strict=True) if len(found))


def _passages(plan: Plan, render: Render) -> Iterator[Passage]:
    for table in chain.from_iterable(source_rows(plan, shard) for shard in plan.shards):
        for read in plan.texts.passages(table, plan.texts.read(table), render).passages:
            passage = Passage.of(read) if isinstance(read, str) else read
            if passage is not None and None in why_unread(passage):
                yield passage


@dataclass(frozen=True)
class Tokens:
    """The token ids of a variant.

    Attributes:
        ids: Ids of all documents, in order, memory-mapped, see `Separators.sequence`; int32 `[total]`.
        offsets: Document i is `ids[offsets[i]:offsets[i + 1]]`; int64 `[n + 1]`.
        hits: Which documents have a 13-gram of an evaluation set; bool `[n, sets]`.
        seen: Which 13-grams of the evaluation sets are in a document; bool `[g]`.
    """

    ids: np.ndarray
    offsets: np.ndarray
    hits: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, path: Path, found: Callable[[], Iterator[tuple[Passage, Document]]], around: Separators,
           evals: EvalGrams) -> Tokens:  # fmt: skip
        """Read the tokens of a variant; write them first if they do not exist.

        Args:
            path: Path of the file of ids; its index is beside it, with `.npz` appended to its name.
            found: Returns the documents.
            around: Their separators.
            evals: The evaluation sets.

        Raises:
            SourceError: The source cannot be read.
            RunError: The files cannot be written.
        """
        index = path.with_name(f"{path.name}.npz")
        if not index.exists():
            _write(path, index, found(), around, evals)
        with np.load(index) as arrays:
            parts = {name: arrays[name] for name in ("offsets", "hits", "seen")}
        ids = np.memmap(path, np.int32, "r") if parts["offsets"][-1] else np.empty(0, np.int32)
        return cls(ids, **parts)

    def stream(self, seed: int, drop_contaminated: bool) -> Stream:
        """Return the tokens in the order of a seed.

        Args:
            seed: Random seed of the order.
            drop_contaminated: Leave out documents that have a 13-gram of an evaluation set.
        """
        kept = ~self.hits.any(axis=1) if drop_contaminated else np.ones(len(self.hits), bool)
        return Stream(self.ids, self.offsets, np.flatnonzero(kept), seed)


def _write(
    path: Path,
    index: Path,
    found: Iterator[tuple[Passage, Document]],
    around: Separators,
    evals: EvalGrams,
) -> None:
    lengths: list[int] = []
    hits: list[np.ndarray] = []
    seen = np.zeros(len(evals.grams), bool)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for passage, document in found:
            sequence = around.sequence(document)
            file.write(sequence.tobytes())
            grams = evals.seen_in(passage.texts)
            seen[grams] = True
            lengths.append(len(sequence))
            hits.append(evals.members[grams].any(axis=0))
    with whole_file(index) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            hits=np.array(hits, bool).reshape(len(hits), len(evals.names)),
            seen=seen,
        )


class Stream:
    """Documents in sequence, epoch after epoch, each epoch in a different order."""

    def __init__(self, ids: np.ndarray, offsets: np.ndarray, kept: np.ndarray, seed: int) -> None:
        """Start at the beginning.

        Args:
            ids: See `Tokens`, also for `offsets`.
            offsets: Offsets of the documents.
            kept: Indices of the documents to read; int64.
            seed: Random seed of the order. The order depends on the indices of the documents: documents that two
                variants have in common, in the same rows, are in the same order.
        """
        self._ids, self._offsets, self._kept, self._seed = ids, offsets, kept, seed
        self._lengths = np.diff(offsets)
        self._known: tuple[int, np.ndarray, np.ndarray] | None = None

    @property
    def num_tokens(self) -> int:
        """Number of tokens of an epoch."""
        return int(self._lengths[self._kept].sum())

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the tokens from one position of the stream to another; int32 `[stop - start]`."""
        parts: list[np.ndarray] = []
        size = self.num_tokens
        while start < stop:
            epoch, at = divmod(start, size)
            numbers, ends = self._order(epoch)
            place = int(np.searchsorted(ends, at, side="right"))
            end = int(ends[place])
            count = min(stop - start, end - at)
            first = int(self._offsets[numbers[place] + 1]) - (end - at)
            parts.append(self._ids[first : first + count])
            start += count
        return np.concatenate(parts)

    def _order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the documents of an epoch in order, and the positions at which they end."""
        if self._known is None or self._known[0] != epoch:
            keys = np.random.default_rng([self._seed, epoch]).random(len(self._lengths))
            numbers = self._kept[np.argsort(keys[self._kept], kind="stable")]
            self._known = epoch, numbers, np.cumsum(self._lengths[numbers])
        return self._known[1:]


@dataclass(frozen=True)
class Blocks:
    """The training data of a model, as a PyTorch dataset.

    Attributes:
        stream: The tokens.
        context: Number of tokens per block.
        num_blocks: Number of blocks.
    """

    stream: Stream
    context: int
    num_blocks: int

    def __len__(self) -> int:
        """Return the number of blocks."""
        return self.num_blocks

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return a block: `input_ids` and `labels`, int64 `[context]`."""
        import torch

        if not 0 <= index < self.num_blocks:
            raise IndexError(index)
        found = self.stream.read(index * self.context, (index + 1) * self.context).astype(np.int64)
        is_context = found < 0
        return {
            "input_ids": torch.from_numpy(np.where(is_context, ~found, found)),
            "labels": torch.from_numpy(np.where(is_context, IGNORED, found)),
        }
