"""Preview of editing on the first rows of a source, as in `hf-toedit preview`; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from hf_toedit.config import EditConfig, PriorConfig, Resources, SourceConfig
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.passage import Passage
from hf_toedit.picture.data import SHARE, Gallery
from hf_toedit.priors.registry import load_prior
from hf_toedit.rows.texts import Text, Texts
from hf_toedit.runs.monitor import check_read
from hf_toedit.sources.source import open_source

MAX_LOOKS = 8
"""Maximum number of rows to search for a change, as a multiple of the rows shown."""


@dataclass(frozen=True)
class Preview:
    """Edited rows of a source.

    Attributes:
        gallery: Pictures of their texts, per generation.
        num_rows: Number of rows searched, from the first.
        num_refused: Number of texts that the prior's chat template refused.
        refusal: Error message for one of them; None if there are none.
    """

    gallery: Gallery
    num_rows: int
    num_refused: int
    refusal: str | None

    @property
    def is_changed(self) -> bool:
        """Whether any text shown has changed."""
        return any(stats.num_changed or stats.num_dropped for stats in self.gallery.stats)

    @property
    def threshold(self) -> float | None:
        """Threshold that would select about `SHARE` of the tokens shown; None if fewer are selected by design."""
        return self.gallery.threshold_selecting(SHARE)

    def check(self) -> None:
        """Fail if no text could be read.

        Raises:
            RunError: No text could be read.
        """
        stats = self.gallery.stats[0]
        for _ in range(self.num_refused):
            stats.add_skipped("template_failed")
        if self.refusal:
            stats.add_skip_reason("template_failed", self.refusal)
        check_read(stats)


def preview_rows(
    source: SourceConfig,
    prior: PriorConfig,
    edit: EditConfig,
    resources: Resources,
    *,
    rows: int,
    generations: int,
    first: bool = False,
) -> Preview:
    """Edit the first rows of a source in which something changes.

    Args:
        source: Settings of the source.
        prior: Settings of the prior.
        edit: How tokens are edited.
        resources: Machine resources that the prior may use.
        rows: Number of rows to show, of all splits together; up to `MAX_LOOKS` times as many are searched for a change
            in the first generation. If none changes, the first rows are shown.
        generations: Number of generations.
        first: Show the first rows, whether or not they change.

    Raises:
        SourceError: The source cannot be found, read, or edited as requested.
        PriorError: The prior cannot be loaded, or fails on every text.
    """
    opened = open_source(source)
    texts = Texts(source)
    texts.check(opened.features)
    tables = (table for split in opened.splits for table in opened.tables(split, source.limit))
    editor = Editor(load_prior(prior, resources), edit)
    looked: list[pa.Table] = []
    changed: list[int] = []
    for table in islice(_parts(tables, rows), 1 if first else MAX_LOOKS):
        if not first:
            before = sum(map(len, looked))
            changed += [before + row for row in _changed_rows(editor, texts, table)]
        looked.append(table)
        if len(changed) >= rows:
            break
    everything = pa.concat_tables(looked)
    numbers = changed[:rows] or list(range(min(rows, len(everything))))
    table = everything.take(numbers)
    passages, read, num_refused, refusal = _passages(editor, texts, table)
    names = [f"row {numbers[text.row]}" + ("" if texts.one_a_row else f" {text.label}") for text in read]
    gallery = Gallery.take(editor, passages, names, generations)
    return Preview(gallery, len(everything), num_refused, refusal)


def _parts(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield tables of `rows` rows, or fewer at the end of a table."""
    for table in tables:
        for begin in range(0, len(table), rows):
            yield table.slice(begin, rows)


def _changed_rows(editor: Editor, texts: Texts, table: pa.Table) -> list[int]:
    """Return the rows of a table that the first generation changes."""
    passages, read, _, _ = _passages(editor, texts, table)
    documents = editor.edit(passages).documents
    return sorted({text.row for text, document in zip(read, documents, strict=True) if document.changed})


def _passages(
    editor: Editor, texts: Texts, table: pa.Table
) -> tuple[Sequence[str | Passage | None], list[Text], int, str | None]:
    """Return the passages of a table, their texts, how many texts the chat template refuses, and why."""
    found = texts.read(table)
    passages, parts, refusal = texts.passages(table, found, editor.prior.render)
    read = [text for text, part in zip(found, parts, strict=True) if part is not None]
    return passages, read, parts.count(None), refusal
