"""The columns of the benchmark: ways to find out, for the same documents, which tokens are to be edited into what."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from command import command
from priors import Measured
from sequences import Part, padded, parts
from transformers import AutoModelForCausalLM
from vllm_client import VllmClient

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior
from hf_toedit.config import SourceConfig
from hf_toedit.editing.alignment import Aligner, Document
from hf_toedit.priors.attention import PackedAttention
from hf_toedit.priors.packing import Window
from hf_toedit.priors.spread import in_threads
from hf_toedit.runs.rows import EDIT_BATCH, grouped
from hf_toedit.runs.texts import Texts

FLOOR = "forward + head"
EDITOR = "editor"
COMMAND = "edit command"
STARTUP = "edit command, one row"
PADDED = "transformers, padded"
ONE_BY_ONE = "transformers, one by one"
VLLM_SCRIPT = "vLLM, script"
VLLM_SCRIPT_8 = "vLLM, script, top 8"
VLLM_FLAT = "vLLM, flat"
NAMES = (
    "forward",
    FLOOR,
    EDITOR,
    COMMAND,
    STARTUP,
    PADDED,
    ONE_BY_ONE,
    VLLM_SCRIPT,
    VLLM_SCRIPT_8,
    VLLM_FLAT,
)

BATCH = 8
"""Documents of a padded batch."""

TOP_K = 8

Column = Callable[[int], Any]
"""Reads the first so many documents."""


class Columns:
    """All that is timed, on one prior and one list of documents.

    Attributes:
        documents: as tokens.
    """

    def __init__(self, measured: Measured, texts: list[str], folder: Path, logits_bytes: float) -> None:
        """Load the prior.

        Args:
            measured: which one, and the threshold.
            texts: the documents.
            folder: for files.
            logits_bytes: that the logits of a padded batch may take, copies included.
        """
        self.measured, self.texts = measured, texts
        self.prior = load_prior(PriorConfig(measured.path))
        self.documents = Aligner(self.prior.tokenizer).align(texts)
        self._editor = ToEditor(self.prior, EditConfig(threshold=measured.threshold))
        self._logits_bytes = logits_bytes
        self._model: Any = None
        self._rows = folder / "rows.parquet"
        self._one_row = folder / "one.parquet"
        pq.write_table(pa.table({"text": texts}), self._rows)
        pq.write_table(pa.table({"text": [min(texts, key=len)]}), self._one_row)

    @property
    def num_tokens(self) -> int:
        """Of all documents."""
        return sum(map(len, self.documents))

    @property
    def bos(self) -> int | None:
        """What the prior reads before a document."""
        return self.prior._bos[0] if self.prior._bos else None

    def by_name(self, vllm: VllmClient | None) -> dict[str, Column]:
        """The columns that can be run."""
        columns: dict[str, Column] = {
            "forward": lambda count: forward(self.prior, self.documents[:count], head=False),
            FLOOR: lambda count: forward(self.prior, self.documents[:count], head=True),
            EDITOR: self.edited,
            COMMAND: lambda count: self._command(self._rows),
            STARTUP: lambda count: self._command(self._one_row),
            PADDED: lambda count: self.padded(count, BATCH),
            ONE_BY_ONE: lambda count: self.padded(count, 1),
        }
        if vllm is not None:
            columns |= {
                VLLM_SCRIPT: lambda count: vllm.read("script", count, top_k=64),
                VLLM_SCRIPT_8: lambda count: vllm.read("script", count, top_k=TOP_K),
                VLLM_FLAT: lambda count: vllm.read("flat", count),
            }
        return columns

    def edited(self, count: int) -> list[np.ndarray]:
        """Edit in the batches in which a run does; the selected tokens by document."""
        rows = pa.table({"text": self.texts[:count]})
        selected = []
        for batch in grouped([rows], Texts(SourceConfig("rows")), EDIT_BATCH):
            result = self._editor.edit(batch.column("text").to_pylist())
            selected += [document.reading.scores.positions for document in result.documents if document.reading]
        return selected

    def padded(self, count: int, batch_size: int) -> list[list[int]]:
        """What one writes with `transformers`: padded batches in order; the selected tokens by document."""
        selected: list[list[int]] = [[] for _ in range(count)]
        for halves in self._batches(count, batch_size):
            for batch in halves:
                self._read_padded(batch, selected)
        return selected

    def num_batches_split(self) -> int:
        """How many padded batches are split for want of memory."""
        return sum(len(halves) > 1 for halves in self._batches(len(self.documents), BATCH))

    def _batches(self, count: int, batch_size: int) -> list[list[list[Part]]]:
        """Batches in the order of the documents, each as what it is split into."""
        prompts = parts([document.ids.tolist() for document in self.documents[:count]], self.prior.context, self.bos)
        return [self._split(prompts[start : start + batch_size]) for start in range(0, len(prompts), batch_size)]

    def _split(self, batch: list[Part]) -> list[list[Part]]:
        """Halves of a batch, until logits and their logarithm fit."""
        longest = max(len(part.ids) for part in batch)
        num_bytes = len(batch) * longest * self.plain_model.config.vocab_size * 4 * 2
        if len(batch) == 1 or num_bytes <= self._logits_bytes:
            return [batch]
        half = len(batch) // 2
        return self._split(batch[:half]) + self._split(batch[half:])

    @property
    def plain_model(self) -> Any:
        """The prior as `transformers` loads it."""
        if self._model is None:
            self._model = AutoModelForCausalLM.from_pretrained(self.measured.folder, dtype=torch.float32).eval()
        return self._model

    @torch.inference_mode()
    def _read_padded(self, batch: list[Part], selected: list[list[int]]) -> None:
        ids, mask = padded([part.ids for part in batch])
        logits = self.plain_model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        logprobs = logits[:, :-1].float().log_softmax(dim=-1)
        best = logprobs.topk(TOP_K, dim=-1)
        scored = logprobs.gather(2, ids[:, 1:, None])[:, :, 0]
        chosen = scored >= np.log(self.measured.threshold)
        _candidates = best.indices[chosen], best.values[chosen]
        shift = 1 - (self.bos is not None)  # from a row of the logprobs to a token after the first of the part
        for row, part in enumerate(batch):
            at = torch.arange(part.score_from - 1, len(part.ids) - 1)
            selected[part.document] += (at[chosen[row, at]] + part.start + shift).tolist()

    def _command(self, source: Path) -> None:
        """The command line, Parquet to Parquet, start-up and card included."""
        with tempfile.TemporaryDirectory(dir=source.parent) as folder:
            options = ["--prior", self.measured.path, "--threshold", repr(self.measured.threshold)]
            command("edit", source, "-o", f"{folder}/run", "--quiet", *options, threads=None)


def forward(prior: Any, documents: list[Document], head: bool) -> None:
    """The body on every pack, without attention to what comes out; with `head`, one float32 product on top."""

    @torch.inference_mode()
    def read(share: list[Window]) -> None:
        attention = PackedAttention()
        for pack in prior._packs(share):
            hidden = prior._forward(pack, documents, attention)
            if head:
                for rows in hidden.split(prior._head._chunk_rows):
                    prior._head.logits(rows)

    in_threads(read, prior._shares(documents))
