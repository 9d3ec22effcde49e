"""What editing would do to the first rows of a source, as `hf-toedit preview` shows it; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from hf_toedit.config import EditConfig, PriorConfig, Resources, SourceConfig
from hf_toedit.editing.editor import Editor
from hf_toedit.picture.data import Gallery
from hf_toedit.priors.registry import load_prior
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.monitor import check_read
from hf_toedit.sources.source import open_source


@dataclass(frozen=True)
class Preview:
    """The first rows, edited.

    Attributes:
        gallery: pictures of their texts, generation by generation.
        num_refused: texts that the prior's chat template refused.
        refusal: what it said of one of them; None where it refused none.
    """

    gallery: Gallery
    num_refused: int
    refusal: str | None

    def check(self) -> None:
        """Refuse to take it for a success where no text could be read.

        Raises:
            RunError: none could.
        """
        stats = self.gallery.stats[0]
        for _ in range(self.num_refused):
            stats.add_skipped("template_failed")
        if self.refusal:
            stats.add_skip_reason("template_failed", self.refusal)
        check_read(stats)


def preview_rows(
    source: SourceConfig, prior: PriorConfig, edit: EditConfig, resources: Resources, *, rows: int, generations: int
) -> Preview:
    """Edit the first rows of a source.

    Args:
        source: settings of the source.
        prior: settings of the prior.
        edit: how tokens are edited.
        resources: what the prior may use of this machine.
        rows: how many, of all splits together.
        generations: how often.

    Raises:
        SourceError: the source cannot be found, read, or edited as asked.
        PriorError: the prior cannot be loaded, or fails on every text.
    """
    opened = open_source(source)
    texts = Texts(source)
    texts.check(opened.features)
    tables = (table for split in opened.splits for table in opened.tables(split, source.limit))
    table = pa.concat_tables(islice(tables, rows)).slice(0, rows)
    editor = Editor(load_prior(prior, resources), edit)
    found = texts.read(table)
    passages, parts, refusal = texts.passages(table, found, editor.prior.render)
    names = [
        f"row {text.row}" + ("" if texts.one_a_row else f" {text.label}")
        for text, part in zip(found, parts, strict=True)
        if part is not None
    ]
    return Preview(Gallery.take(editor, passages, names, generations), parts.count(None), refusal)
