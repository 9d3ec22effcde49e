"""`hf-toedit preview`: edits of the first rows, in the terminal, as JSON or as a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli.help import EDIT, command, option
from hf_toedit.cli.libraries import quiet_libraries, quiet_transformers
from hf_toedit.cli.options import (
    config_option,
    edit_options,
    edit_settings,
    json_option,
    resources,
    source_argument,
    source_config,
    source_options,
)
from hf_toedit.cli.plan import generations_option
from hf_toedit.config import RunConfig
from hf_toedit.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from hf_toedit.api.preview import Preview
    from hf_toedit.picture.data import Frame, Gallery, Picture, Token

_SHOWN = "What to show"


@command(purpose=EDIT, short_help="Show what would change; write nothing.")
@source_argument
@source_options
@edit_options
@generations_option
@option("-n", "--rows", group=_SHOWN, type=click.IntRange(min=1), default=5, show_default=True, metavar="N",
        help="Number of rows to show.")  # fmt: skip
@option("--first", group=_SHOWN, is_flag=True, help="Show the first rows, even if they do not change.")
@option("--candidates", group=_SHOWN, is_flag=True, help="List selected tokens with their candidates.")
@option("--whole", group=_SHOWN, is_flag=True, help="Show whole texts, not only the first 12 places.")
@option("--html", group=_SHOWN, type=click.Path(path_type=Path), metavar="FILE",
        help="Also write an interactive HTML page.")  # fmt: skip
@config_option
@json_option
def preview(
    source: str,
    rows: int,
    first: bool,
    candidates: bool,
    generations: int,
    whole: bool,
    html: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show how rows of SOURCE would change. Writes nothing, except a page with --html.

    Shows the first rows with a change, among eight times as many. Tokens are coloured by their probability.

    \b
    Examples:
      hf-toedit preview sample -n 3
      hf-toedit preview stories.parquet --candidates --temperature 2
      hf-toedit preview sample --generations 3 --html preview.html
    """  # noqa: D301
    allowed = resources(options)
    RunConfig(generations)
    _check_page(html)
    prior, settings = edit_settings(options)
    asked = source_config(source, options)
    quiet_libraries(show_progress=False)
    quiet_transformers()
    from hf_toedit.api.preview import preview_rows
    from hf_toedit.picture.html import page
    from hf_toedit.picture.terminal import MAX_PLACES

    shown = preview_rows(asked, prior, settings, allowed, rows=rows, generations=generations, first=first)
    gallery = shown.gallery
    if html is not None:
        _write(html, page(gallery))
    if as_json:
        click.echo(json.dumps(_to_json(gallery, candidates), indent=2, ensure_ascii=False))
    else:
        _show(gallery, candidates, None if whole else MAX_PLACES)
        if html is not None:
            click.echo(f"Page: {html}")
    if not shown.is_changed and not as_json:
        click.echo(_advice(shown))
    shown.check()


def _advice(shown: Preview) -> str:
    """Advice if nothing changed."""
    from hf_toedit.picture.data import SHARE

    config, threshold = shown.gallery.config, shown.threshold
    message = f"Nothing changed in the first {shown.num_rows:,} rows."
    if config.select == "above" and threshold is not None and threshold < config.threshold:
        return f"{message} --threshold {threshold:g} would select {SHARE:.0%} of the tokens shown."
    return message if config.select == "none" else f"{message} A higher --temperature samples rarer tokens."


def _check_page(path: Path | None) -> None:
    """Check, before any work, that a page can be written.

    Raises:
        UsageError: Its folder does not exist, or the path is a folder or a file of other content.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise UsageError(
            f"cannot write {path}: the folder {path.parent} does not exist. Create it, or name another file."
        )
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder. Name a file in it, such as {path / 'preview.html'}.")
    if path.exists() and not _is_page(path):
        raise UsageError(f"{path} exists and is not a page of hf-toedit. Name another file.")


def _is_page(path: Path) -> bool:
    from hf_toedit.picture.html import PAGE_BEGINS

    try:
        with path.open("rb") as stream:
            return stream.read(len(PAGE_BEGINS)) == PAGE_BEGINS.encode()
    except OSError:
        return False


def _write(path: Path, text: str) -> None:
    from hf_toedit.storage.files import whole_file

    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _to_json(gallery: Gallery, candidates: bool) -> dict[str, Any]:
    from hf_toedit.editing.result import log_counts
    from hf_toedit.stats import generation_figures

    figures, counts = generation_figures(gallery.stats), log_counts(gallery.config)
    return {
        "texts": [_text_to_json(picture, counts, candidates) for picture in gallery.pictures],
        "generations": [
            {**entry.to_json(), **stats.summary()} for entry, stats in zip(figures, gallery.stats, strict=True)
        ],
    }


def _text_to_json(picture: Picture, counts: Sequence[str], candidates: bool) -> dict[str, Any]:
    row = {
        "name": picture.name,
        "before": picture.source,
        "after": picture.edited,
        "skipped": picture.skipped,
        **picture.frames[-1].document.to_log(counts),
        "changed": [
            _token_to_json(frame, token, "start", "text", "replacement", "kind")
            for frame in picture.frames
            for token in frame.changed
        ],
    }
    if candidates:
        row["selected"] = [
            _token_to_json(
                frame,
                token,
                *("start", "text", "probability", "rank", "replacement"),
                *(() if token.rejected is None else ("rejected",)),
                *("kind", "candidates"),
            )
            for frame in picture.frames
            for token in frame.tokens
            if token.selected
        ]
    return row


def _token_to_json(frame: Frame, token: Token, *names: str) -> dict[str, Any]:
    return {"generation": frame.generation, **{name: getattr(token, name) for name in names}}


def _show(gallery: Gallery, candidates: bool, max_places: int | None) -> None:
    from rich.text import Text

    from hf_toedit.cli.output import console, generation_tables, has_colours, printable
    from hf_toedit.picture.terminal import frame_text, histogram, legend
    from hf_toedit.picture.words import facts

    screen = console()
    colour = has_colours(screen)
    several = len(gallery.stats) > 1
    for picture in gallery.pictures:
        for frame in picture.frames[:1] if picture.skipped else picture.frames:
            when = f" · generation {frame.generation}" if several and not picture.skipped else ""
            screen.print(Text(printable(f"{picture.name}{when} · {facts(frame)}"), style="bold"))
            if frame.text:
                screen.print(frame_text(frame, colour, max_places))
            if candidates:
                screen.print(_candidates_table([token for token in frame.tokens if token.selected]))
            screen.print()
    for part in (legend(gallery.config, colour), histogram(gallery.stats[0], gallery.config, 1 if several else None)):
        if part:
            screen.print(part)
            screen.print()
    screen.print(generation_tables(gallery.stats))


def _candidates_table(selected: list[Token]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from hf_toedit.cli.output import printable
    from hf_toedit.picture.words import probability
    from hf_toedit.place_kinds import KINDS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("character", "token", "p", "rank", "sampled", "kind", "candidates"):
        table.add_column(heading, justify="right" if heading in ("character", "p", "rank") else "left")
    for token in selected:
        p = "" if token.probability is None else probability(token.probability)
        rank = "" if token.rank is None else str(token.rank)
        drawn = "" if token.replacement is None else repr(token.replacement)
        if token.rejected is not None:
            drawn = f"{token.rejected!r}, rejected"
        others = " ".join("-" if text is None else f"{text!r} {probability(share)}" for text, share in token.candidates)
        cells = [str(token.start), repr(token.text), p, rank, drawn, KINDS.get(token.kind or "", ""), others]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table
