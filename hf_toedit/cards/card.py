"""The dataset card of a run: what is known of it in, Markdown out.

`render_card` is pure. Every string that comes from a dataset, a prior, a path or a command goes through one of the
functions of `escape`; the template puts whatever is not `Markdown` yet through `markdown` by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hf_toedit.cards import tables
from hf_toedit.cards.data import CardData, Example
from hf_toedit.cards.escape import Markdown, code, fenced, html, literal, markdown, shell
from hf_toedit.cards.metadata import metadata
from hf_toedit.cards.method import rule_in
from hf_toedit.cards.origin import (
    command,
    license_link,
    license_words,
    method_words,
    prints_fingerprints,
    prior_words,
    source_name,
    title,
)
from hf_toedit.cards.plots import WIDTH, draw_plots
from hf_toedit.cards.readme import merged
from hf_toedit.config import RunConfig, TextConfig
from hf_toedit.editing.diff import ADDED, REMOVED, segments
from hf_toedit.editing.rules import Rule
from hf_toedit.errors import RunError
from hf_toedit.runs.plan import Plan
from hf_toedit.stats import SAMPLE, decimal, generation_figures

if TYPE_CHECKING:
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.storage.remote import AnyPath

README = "README.md"
ASSETS = "assets"

_PLACES, _CONTEXT, _UNEDITED_LENGTH = 4, 60, 200


def render_card(data: CardData, existing: str | None = None) -> str:
    """Write a `README.md`: front matter that `datasets` and the Hub understand, and a section about the run.

    Args:
        data: of the run.
        existing: the README that is there; what people wrote in it stays.

    Raises:
        RunError: the README that is there cannot be understood.
    """
    name = markdown(title(data))
    heading = f"## {markdown(data.prefix)}" if data.prefix else "## Edited with ToEdit"
    if not (existing or "").strip():
        heading = f"# {name}\n\n{heading}" if data.prefix else f"# {name}"
    return merged(existing, metadata(data), _section(data), data.prefix, heading)


def write_card(plan: Plan, folder: RunFolder) -> list[AnyPath]:
    """Write the card of a finished run, and its pictures, into the run folder; each file whole or not at all.

    Args:
        plan: of the run.
        folder: of the run.

    Returns:
        The files.

    Raises:
        RunError: the run is not finished, its card cannot be understood, or the folder cannot be written.
    """
    path = folder.root / README
    try:
        existing = path.read_bytes().decode() if path.exists() else None
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is not UTF-8. Mend it, or move it away; it was not overwritten.") from error
    data = CardData.from_run(plan, folder)
    card = render_card(data, existing)
    files = {f"{ASSETS}/{name}": image for name, image in draw_plots(data).items()} | {README: card.encode()}
    for name, content in files.items():
        folder.update_bytes(name, content)
    return [folder.root / name for name in files]


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("hf_toedit.cards"),
        autoescape=False,  # `finalize` does it, for Markdown
        finalize=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("card.md.jinja")


def _section(data: CardData) -> str:
    plan, last, rule = data.plan, data.generations[-1], rule_in(data.plan)
    figures = generation_figures(data.generations)
    source_card, prior_card = (plan.provenance.get(name, {}) for name in ("source_card", "prior_card"))
    typed = command(data)
    return _template().render(
        data=data,
        plan=plan,
        h=Markdown("###" if data.prefix else "##"),
        tables=tables,
        source=source_name(data),
        prior=prior_words(data),
        method=method_words(plan),
        prints_fingerprints=prints_fingerprints(data),
        headline=_headline(data),
        standing=figures[-1].characters_standing,
        is_edited=any(stats.num_changed or stats.num_dropped for stats in data.generations),
        is_drawn=rule.selects,
        rarely_changes=_rarely_changes(rule),
        drawn_words=", whose tokens were drawn," if rule.selects else "",
        any_selected=any(stats.num_selected for stats in data.generations),
        is_logged=plan.run.edit_log_column is not None,
        last=last,
        sample=SAMPLE,
        first_rate=figures[0].selected_rate,
        last_rate=figures[-1].selected_rate,
        last_reading=data.readings[-1] if data.readings else None,
        config_names=[code(data.config_name(number)) for number in plan.generations],
        splits=[code(split) for split in plan.splits],
        load=fenced(_load_snippet(data), "python"),
        command=typed and fenced(typed, "bash"),
        revert_command=fenced(shell(["hf-toedit", "revert", data.place, "-o", "source"]), "bash"),
        revert=fenced(_revert_snippet(data), "python"),
        examples=[(_example_name(example, data), _diff(example)) for example in data.examples],
        source_license=license_words(source_card, license_link(data)),
        prior_license=license_words(prior_card, prior_card.get("license_link")),
        image=lambda name, words: _image(data, name, words),
        alt=_alternatives(data),
        code=code,
        decimal=decimal,
    )


def _rarely_changes(rule: Rule) -> bool:
    """Whether a draw is nearly sure to give the token that was there."""
    edit = rule.config
    is_sure = rule.at_least is not None and rule.at_least >= 0.9 and not edit.own
    return is_sure and edit.temperature <= 1 and not edit.exclude_original


def _headline(data: CardData) -> str:
    """What was selected and changed, in the first generation and the last."""
    edit, rule, last = data.plan.edit, rule_in(data.plan), len(data.generations)
    told = []
    for generation in sorted({1, last}):
        stats = data.generations[generation - 1]
        figures = []
        if rule.selects:
            figures.append(f"{stats.num_selected:,} ({stats.selected_rate:.2%}) were selected")
            figures.append(f"{stats.num_changed:,} ({stats.changed_rate:.2%}) changed")
        if edit.drop_below is not None:
            figures.append(f"{stats.num_dropped:,} were deleted")
        done = " and ".join([", ".join(figures[:-1]), figures[-1]] if figures[1:] else figures or ["none was selected"])
        which = "of" if last == 1 else f"in generation {generation}, of"
        told.append(f"{which} {stats.num_tokens:,} tokens in {stats.num_rows:,} rows, {done}")
    return _sentence(told)


def _load_snippet(data: CardData) -> str:
    place, last = literal(data.place), data.plan.generations[-1]
    configs = [data.config_name(generation) for generation in data.plan.generations]
    named = f", {literal(configs[-1])}" if data.prefix else ""
    split = literal(data.plan.splits[0])
    lines = [
        "from datasets import load_dataset",
        "",
        f"dataset = load_dataset({place}{named})" + (f"  # generation {last}" if last > 1 else ""),
        f"rows = load_dataset({place}{named}, split={split}, streaming=True)  # row by row",
    ]
    if last > 1:
        lines.append(f"first = load_dataset({place}, {literal(configs[0])})  # generation 1")
    return "\n".join(lines)


def _revert_snippet(data: CardData) -> str:
    """The call of `hf_toedit.revert`, with the arguments that are not its own defaults."""
    source, log = data.plan.source, data.plan.run.edit_log_column or ""
    config = TextConfig(messages_column=source.messages_column)
    given = {
        "text_column": _literals(source.text_columns) if source.text_columns != config.text_columns else None,
        "messages_column": literal(source.messages_column) if source.messages_column is not None else None,
        "roles": _literals(source.roles) if source.messages_column and source.roles != config.roles else None,
        "edit_log_column": literal(log) if log != RunConfig().edit_log_column else None,
    }
    told = "".join(f", {name}={value}" for name, value in given.items() if value is not None)
    return f"import hf_toedit\n\nsource = hf_toedit.revert(dataset{told})"


def _literals(words: tuple[str, ...]) -> str:
    return literal(words[0]) if len(words) == 1 else f"[{', '.join(map(literal, words))}]"


def _example_name(example: Example, data: CardData) -> Markdown:
    split = f" of {code(example.split)}" if len(data.plan.splits) > 1 else ""
    path = f", {code(example.path)}" if example.path is not None else ""
    count = len(example.table.edits)
    state = "not edited" if count == 0 else "edited in one place" if count == 1 else f"edited in {count:,} places"
    return Markdown(f"Row {example.row:,}{split}{path}, {state}")


def _diff(example: Example) -> Markdown:
    """Edited places as one HTML block, in which nothing is Markdown; or the beginning of a text that is not edited."""
    text = example.table.text
    if not example.table.edits:
        more = " …" if len(text) > _UNEDITED_LENGTH else ""
        return Markdown(f'<blockquote dir="auto">{html(text[:_UNEDITED_LENGTH])}{more}</blockquote>')
    marks = {REMOVED: "del", ADDED: "ins"}
    pieces = []
    for kind, piece in segments(example.table, _PLACES, _CONTEXT):
        shown = html(piece.replace(" ", "␣") if kind in marks and not piece.strip() else piece)
        pieces.append(shown if kind not in marks or not piece else f"<{marks[kind]}>{shown}</{marks[kind]}>")
    return Markdown(f'<blockquote dir="auto">{"".join(pieces)}</blockquote>')


def _image(data: CardData, name: str, words: str) -> Markdown:
    source = data.link(f"{ASSETS}/{name}")
    return Markdown(f'<p><img src="{source}" width="{WIDTH}" alt="{html(words)}"></p>')


def _alternatives(data: CardData) -> Mapping[str, str]:
    """What the pictures show, in words."""
    threshold = rule_in(data.plan).threshold
    bound = "" if threshold is None else f" A line marks the threshold, {decimal(threshold)}."
    shares, middles = [], []
    for reading in data.readings:
        histogram, scored = reading.stats.probability_histogram, reading.stats.num_scored
        shares.append(
            f"{tables.label(reading)}: {histogram[0] / scored:.1%} of the tokens are below 0.1 and "
            f"{histogram[-1] / scored:.1%} at 0.9 or above"
        )
        middles.append(f"{tables.label(reading)}: the median text lies at {tables.median_perplexity(reading.stats)}")
    rates = ", ".join(f"{stats.selected_rate:.2%}" for stats in data.generations)
    paper = ", ".join(f"{selected / tokens:.2%}" for tokens, selected in tables.PAPER)
    last = generation_figures(data.generations)[-1]
    standing = (
        ""
        if last.characters_standing is None
        else f" {last.characters_standing:.2%} of the source's characters still stand in the end."
    )
    return {
        "probabilities": f"Bars: tokens by probability. {_sentence(shares)}{bound}",
        "perplexity": f"Bars: texts by perplexity. {_sentence(middles)}",
        "decay": f"Lines: the share of selected tokens by generation is {rates}; in the paper {paper}.{standing}",
    }


def _sentence(parts: list[str]) -> str:
    told = "; ".join(parts)
    return f"{told[:1].upper()}{told[1:]}."
