"""A typical script with `transformers`, in its own process, whose memory the editor does not manage."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from sequences import Part, padded, parts
from transformers import AutoModelForCausalLM

TOP_K = 8


@dataclass(frozen=True)
class Plain:
    """Padded batches in the order of the documents: all logits, log-softmax, top candidates, and the original tokens.

    Attributes:
        folder: Folder of the model.
        documents: Token ids.
        context: Number of positions of the model.
        bos: Token before a document; None for none.
        threshold: Probability from which a token is selected.
        logits_bytes: Maximum size of the logits of a batch, including copies.
    """

    folder: str
    documents: list[list[int]]
    context: int
    bos: int | None
    threshold: float
    logits_bytes: float

    def read(self, count: int, batch_size: int) -> list[list[int]]:
        """Read the first documents and return the selected tokens of each."""
        selected: list[list[int]] = [[] for _ in range(count)]
        for halves in self._batches(count, batch_size):
            for batch in halves:
                self._read(batch, selected)
        return selected

    def num_split(self, batch_size: int) -> int:
        """Return the number of batches that are split due to memory."""
        return sum(len(halves) > 1 for halves in self._batches(len(self.documents), batch_size))

    @cached_property
    def _model(self) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def _batches(self, count: int, batch_size: int) -> list[list[list[Part]]]:
        """Return batches in the order of the documents, each as a list of its splits."""
        prompts = parts(self.documents[:count], self.context, self.bos)
        return [self._split(prompts[start : start + batch_size]) for start in range(0, len(prompts), batch_size)]

    def _split(self, batch: list[Part]) -> list[list[Part]]:
        """Halve a batch until logits and their logarithm fit."""
        longest = max(len(part.ids) for part in batch)
        num_bytes = len(batch) * longest * self._model.config.vocab_size * 4 * 2
        if len(batch) == 1 or num_bytes <= self.logits_bytes:
            return [batch]
        half = len(batch) // 2
        return self._split(batch[:half]) + self._split(batch[half:])

    @torch.inference_mode()
    def _read(self, batch: list[Part], selected: list[list[int]]) -> None:
        ids, mask = padded([part.ids for part in batch])
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        logprobs = logits[:, :-1].float().log_softmax(dim=-1)
        best = logprobs.topk(TOP_K, dim=-1)
        scored = logprobs.gather(2, ids[:, 1:, None])[:, :, 0]
        chosen = scored >= np.log(self.threshold)
        _candidates = best.indices[chosen], best.values[chosen]
        shift = 1 - (self.bos is not None)  # from a row of the logprobs to a token after the first of the part
        for row, part in enumerate(batch):
            at = torch.arange(part.score_from - 1, len(part.ids) - 1)
            selected[part.document] += (at[chosen[row, at]] + part.start + shift).tolist()


class PlainClient:
    """A process that runs `Plain`."""

    def __init__(self, plain: Plain) -> None:
        """Prepare the process, which starts with the first call."""
        given = (plain, torch.get_num_threads())
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=given)

    def read(self, count: int, batch_size: int) -> list[list[int]]:
        """See `Plain.read`."""
        return self._pool.submit(_read, count, batch_size).result()

    def num_split(self, batch_size: int) -> int:
        """See `Plain.num_split`."""
        return self._pool.submit(_num_split, batch_size).result()

    def close(self) -> None:
        """Stop the process."""
        self._pool.shutdown()


_plain: Plain


def _begin(plain: Plain, num_threads: int) -> None:
    global _plain
    torch.set_num_threads(num_threads)
    _plain = plain


def _read(count: int, batch_size: int) -> list[list[int]]:
    return _plain.read(count, batch_size)


def _num_split(batch_size: int) -> int:
    return _plain.num_split(batch_size)
