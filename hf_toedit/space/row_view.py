"""One row as HTML: its edits, or its source, rebuilt from them. No Gradio."""

from __future__ import annotations

from collections import Counter

from hf_toedit.editing.kinds import kinds_of_edits
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.picture.html import diff_html, escaped, notice_html
from hf_toedit.place_kinds import counted_kinds
from hf_toedit.space.rows import Row, RunRows

_MOST_TEXTS = 200


def row_html(row: Row, rows: RunRows, limit: int, reverted: bool) -> str:
    """Return the texts of a row, below the counts of its edit log.

    Args:
        row: The row.
        rows: The rows of the run.
        limit: Maximum number of characters to show.
        reverted: Whether to show the source that the edit log gives.

    Raises:
        ToEditError: The source cannot be compared with the logs of other generations.
    """
    heading = f"Row {row.number:,} of {row.split}, " + (
        f"reverted from generation {row.generation}" if reverted else f"generation {row.generation}"
    )
    parts = [
        f'<h3 class="te-said">{escaped(heading)}</h3>',
        f'<p class="te-facts">{escaped(_facts(row, rows, reverted))}</p>',
    ]
    left = limit
    for number, text in enumerate(row.texts):
        if left <= 0 or number == _MOST_TEXTS:
            break
        if text.label is not None:
            parts.append(f"<h4>{escaped(text.label)}</h4>")
        source, table = row.sources[number], text.table
        if table is None or source is None:
            parts.append('<p class="te-facts">There is no text here.</p>')
            continue
        shown = shortened(PieceTable(source) if reverted else table, left)
        left -= _length(shown)
        kinds = () if reverted else kinds_of_edits(table)[: len(shown.edits)]
        parts.append(
            diff_html(shown, kinds) if shown.text or shown.edits else '<p class="te-facts">This text is empty.</p>'
        )
        if shown.text != (source if reverted else table.text):
            left = 0
    if left <= 0 or len(row.texts) > _MOST_TEXTS:
        parts.append(notice_html(f"The row is longer; the first {limit:,} characters are shown here."))
    if not row.texts:
        parts.append('<p class="te-facts">No text of this row was to be edited.</p>')
    return f'<section class="te te-row">{"".join(parts)}</section>'


def shortened(table: PieceTable, limit: int) -> PieceTable:
    """Return the beginning of a text, up to `limit` characters, including the replaced characters of the source."""
    at, left = 0, limit
    for number, edit in enumerate(table.edits):
        kept, replaced = edit.start - at, edit.end - edit.start + len(edit.source)
        if kept + replaced > left:
            return PieceTable(table.text[: at + min(kept, left)], table.edits[:number])
        at, left = edit.end, left - kept - replaced
    return PieceTable(table.text[: at + left], table.edits)


def _length(table: PieceTable) -> int:
    return len(table.text) + sum(len(edit.source) for edit in table.edits)


def _facts(row: Row, rows: RunRows, reverted: bool) -> str:
    if not rows.has_log:
        return "This run was made without an edit log: its changes and the original text are not known."
    edits = "1 edit" if row.num_edits == 1 else f"{row.num_edits:,} edits"
    if not reverted:
        counts = row.counts
        share = counts["num_changed"] / counts["num_tokens"] if counts.get("num_tokens") else 0
        lines = [f"{counts.get('num_tokens', 0):,} tokens", f"{counts.get('num_selected', 0):,} selected"]
        lines.append(f"{counts.get('num_changed', 0):,} changed ({share:.2%}) in this generation")
        if counts.get("num_dropped"):
            lines.append(f"{counts['num_dropped']:,} dropped")
        if counts.get("num_rejected"):
            lines.append(f"{counts['num_rejected']:,} rejected")
        kinds = Counter(kind for text in row.texts if text.table for kind in kinds_of_edits(text.table))
        by_kind = f" ({counted_kinds(kinds)})" if kinds else ""
        return f"{', '.join(lines)}; {edits} against the source{by_kind}."
    undone = f"{edits} undone, by the edit log of this generation alone."
    looked, differing = rows.differing(row)
    if differing:
        return f"{undone} The logs of generations {_listed(differing)} give another source: this run is damaged."
    if looked:
        return f"{undone} The {'log' if len(looked) == 1 else 'logs'} of {_listed(looked)} " + (
            "gives the same source." if len(looked) == 1 else "give the same source."
        )
    return undone


def _listed(generations: list[int]) -> str:
    words = [str(number) for number in generations]
    word = "generation" if len(words) == 1 else "generations"
    return f"{word} " + " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
