"""`hf-toedit preview`: what editing would do to the first rows, written nowhere."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli.options import (
    config_option,
    edit_options,
    edit_settings,
    json_option,
    quiet_libraries,
    quiet_transformers,
    resources,
    source_config,
    source_options,
)

if TYPE_CHECKING:
    from rich.table import Table

    from hf_toedit.editing.result import EditResult, TokenView

_MAX_PLACES = 12


@click.command(short_help="Show what would change; write nothing.")
@click.argument("source")
@click.option("-n", "--rows", type=click.IntRange(min=1), default=5, show_default=True, help="Rows to show.")
@click.option("--candidates", is_flag=True, help="List the selected tokens with probability and candidates.")
@source_options
@edit_options
@config_option
@json_option
def preview(source: str, rows: int, candidates: bool, as_json: bool, **options: Any) -> None:
    """Show what one generation of edits does to the first rows of SOURCE; nothing is written.

    \b
    Examples:
      hf-toedit preview sample -n 3
      hf-toedit preview stories.parquet --candidates --temperature 2
    """  # noqa: D301
    quiet_libraries(show_progress=False)
    quiet_transformers()
    import pyarrow as pa

    from hf_toedit.editing.editor import ToEditor
    from hf_toedit.priors.base import load_prior
    from hf_toedit.runs.source import open_source
    from hf_toedit.runs.texts import Texts

    prior, settings = edit_settings(options)
    asked = source_config(
        source, {**options, "limit": rows if options["limit"] is None else min(rows, options["limit"])}
    )
    opened = open_source(asked)
    texts = Texts(asked)
    texts.check(opened.features)
    tables = (table for split in opened.splits for table in opened.tables(split, asked.limit))
    table = pa.concat_tables(islice(tables, rows)).slice(0, rows)
    editor = ToEditor(load_prior(prior, resources(options)), settings)
    found = texts.read(table)
    passages, parts = texts.passages(table, found, editor.prior.render)
    names = [f"row {text.row}" + ("" if texts.one_a_row else f" {text.label}")
             for text, part in zip(found, parts, strict=True) if part is not None]  # fmt: skip
    result = editor.edit(passages)
    if as_json:
        click.echo(json.dumps(_to_json(result, names, candidates), indent=2, ensure_ascii=False))
    else:
        _show(result, names, candidates)


def _to_json(result: EditResult, names: list[str], candidates: bool) -> dict[str, Any]:
    texts = [{"name": name, **_text_to_json(result, index, candidates)} for index, name in enumerate(names)]
    return {"texts": texts, "stats": result.stats.summary()}


def _text_to_json(result: EditResult, index: int, candidates: bool) -> dict[str, Any]:
    document = result.documents[index]
    row = {
        "before": document.table.revert() if document.table else None,
        "after": document.text,
        "skipped": document.skipped,
        **document.to_log(),
    }
    if candidates:
        row["selected"] = [
            {
                "start": token.start,
                "text": token.text,
                "probability": token.probability,
                "replacement": token.replacement,
                "candidates": token.candidates,
            }
            for token in result.tokens(index)
            if token.selected
        ]
    return row


def _show(result: EditResult, names: list[str], candidates: bool) -> None:
    from rich.text import Text

    from hf_toedit.cli.output import console, diff_line, generations_table, printable

    screen = console()
    for index, (name, document) in enumerate(zip(names, result.documents, strict=True)):
        log = document.to_log()
        facts = document.skipped or "{num_tokens:,} tokens, {num_selected:,} selected, {num_changed:,} changed".format(
            **log
        )
        screen.print(Text(printable(f"{name} · {facts}"), style="bold"))
        if document.table is not None and document.table.edits:
            screen.print(diff_line(document.table, _MAX_PLACES, screen.color_system is not None))
        elif document.text:
            screen.print(Text(printable(document.text[:80]) + (" …" if len(document.text) > 80 else ""), style="dim"))
        if candidates:
            screen.print(_candidates_table([token for token in result.tokens(index) if token.selected]))
        screen.print()
    screen.print(generations_table([result.stats]))


def _candidates_table(selected: list[TokenView]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from hf_toedit.cli.output import printable

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("character", "token", "p", "drawn", "candidates"):
        table.add_column(heading, justify="right" if heading in ("character", "p") else "left")
    for token in selected:
        drawn = "" if token.replacement is None else repr(token.replacement)
        others = " ".join(
            "-" if text is None else f"{text!r} {probability:.4f}" for text, probability in token.candidates
        )
        cells = [str(token.start), repr(token.text), f"{token.probability:.4f}", drawn, others]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table
