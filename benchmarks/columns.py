"""The columns of the benchmark: alternative ways to compute the edits of the same documents."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from command import command
from plain import TOP_K, Plain, PlainClient
from priors import Measured
from vllm_client import VllmClient

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior
from hf_toedit.config import SourceConfig
from hf_toedit.editing.alignment import Aligner, Document
from hf_toedit.priors.attention import PackedAttention
from hf_toedit.priors.packing import Window
from hf_toedit.priors.spread import in_shares
from hf_toedit.rows.texts import Texts
from hf_toedit.tasks.edit_rows import edited_batches

FLOOR = "forward + head"
EDITOR = "editor"
PRUNED = "editor, --prune"
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
    PRUNED,
    COMMAND,
    STARTUP,
    PADDED,
    ONE_BY_ONE,
    VLLM_SCRIPT,
    VLLM_SCRIPT_8,
    VLLM_FLAT,
)

BATCH = 8
"""Number of documents per padded batch."""

Column = Callable[[int], Any]
"""Reads the given number of documents, from the first."""


class Columns:
    """All timed columns, on one prior and one list of documents.

    Attributes:
        documents: The documents as tokens.
        plain: Reads them with plain `transformers`.
    """

    def __init__(self, measured: Measured, texts: list[str], folder: Path, logits_bytes: float) -> None:
        """Load the prior.

        Args:
            measured: The prior and its threshold.
            texts: The documents.
            folder: Folder for files.
            logits_bytes: Maximum size of the logits of a padded batch, including copies.
        """
        self.measured, self.texts = measured, texts
        self.prior = load_prior(PriorConfig(measured.path))
        self.documents = Aligner(self.prior.tokenizer).align(texts)
        self._editor = ToEditor(self.prior, EditConfig(threshold=measured.threshold))
        ids = [document.ids.tolist() for document in self.documents]
        plain = Plain(measured.folder, ids, self.prior.context, self.bos, measured.threshold, logits_bytes)
        self.plain = PlainClient(plain)
        self._rows = folder / "rows.parquet"
        self._one_row = folder / "one.parquet"
        pq.write_table(pa.table({"text": texts}), self._rows)
        pq.write_table(pa.table({"text": [min(texts, key=len)]}), self._one_row)

    @property
    def num_tokens(self) -> int:
        """Number of tokens of all documents."""
        return sum(map(len, self.documents))

    @property
    def bos(self) -> int | None:
        """Token that the prior reads before a document."""
        return self.prior._bos[0] if self.prior._bos else None

    def by_name(self, vllm: VllmClient | None) -> dict[str, Column]:
        """Return the columns that can be run."""
        columns: dict[str, Column] = {
            "forward": lambda count: forward(self.prior, self.documents[:count], head=False),
            FLOOR: lambda count: forward(self.prior, self.documents[:count], head=True),
            EDITOR: lambda count: self.edited(self._editor, count),
            PRUNED: lambda count: self.edited(self._pruned, count),
            COMMAND: lambda count: self._command(self._rows),
            STARTUP: lambda count: self._command(self._one_row),
            PADDED: lambda count: self.plain.read(count, BATCH),
            ONE_BY_ONE: lambda count: self.plain.read(count, 1),
        }
        if vllm is not None:
            columns |= {
                VLLM_SCRIPT: lambda count: vllm.read("script", count, top_k=64),
                VLLM_SCRIPT_8: lambda count: vllm.read("script", count, top_k=TOP_K),
                VLLM_FLAT: lambda count: vllm.read("flat", count),
            }
        return columns

    @cached_property
    def _pruned(self) -> ToEditor:
        prior = load_prior(PriorConfig(self.measured.path, prune=True))
        return ToEditor(prior, EditConfig(threshold=self.measured.threshold))

    def edited(self, editor: ToEditor, count: int) -> None:
        """Edit as a run edits a shard, without reading and writing files."""
        rows = pa.table({"text": self.texts[:count]})
        texts = Texts(SourceConfig("rows"))
        for batch in edited_batches(editor, [rows], texts, "toedit", generation=1):
            batch.table()

    def selected(self, count: int) -> list[np.ndarray]:
        """Return the tokens that the editor selects, by document."""
        result = self._editor.edit(self.texts[:count])
        return [document.reading.scores.positions for document in result.documents if document.reading]

    def _command(self, source: Path) -> None:
        """Run the command line, Parquet to Parquet, including start-up and card."""
        with tempfile.TemporaryDirectory(dir=source.parent) as folder:
            options = ["--prior", self.measured.path, "--threshold", repr(self.measured.threshold)]
            command("edit", source, "-o", f"{folder}/run", "--quiet", *options, threads=None)


def forward(prior: Any, documents: list[Document], head: bool) -> None:
    """Run the body on every pack and discard the output; with `head`, followed by one float32 product."""

    @torch.inference_mode()
    def read(share: list[Window]) -> None:
        attention = PackedAttention()
        for pack in prior._packs(share):
            hidden = prior._forward(pack, documents, attention)
            if head:
                for rows in hidden.split(prior._head._chunk_rows):
                    prior._head.logits(rows)

    in_shares(read, prior._shares(documents))
