"""The section of a card about edits."""

from __future__ import annotations

from collections.abc import Mapping

from hf_toedit.cards import edit_tables as tables
from hf_toedit.cards.edit_data import EditCardData, Example
from hf_toedit.cards.escape import Markdown, code, fenced, html, literal, shell
from hf_toedit.cards.method import method_words, rule_in
from hf_toedit.cards.origin import model_words
from hf_toedit.cards.section import sentence, shared, template
from hf_toedit.config import RunConfig, TextConfig
from hf_toedit.editing.diff import ADDED, REMOVED, segments
from hf_toedit.editing.rules import Rule
from hf_toedit.stats import SAMPLE, decimal, generation_figures

_PLACES, _CONTEXT, _UNEDITED_LENGTH = 4, 60, 200


def edit_section(data: EditCardData) -> str:
    """Markdown about a run of edits."""
    task, last, rule = data.task, data.generations[-1], rule_in(data.plan)
    figures = generation_figures(data.generations)
    return template("edit").render(
        shared(data),
        task=task,
        tables=tables,
        prior=model_words(data),
        method=method_words(data.plan),
        headline=_headline(data),
        standing=figures[-1].characters_standing,
        is_edited=any(stats.num_changed or stats.num_dropped for stats in data.generations),
        is_drawn=rule.selects,
        rarely_changes=_rarely_changes(rule),
        model_role="prior, whose tokens were drawn," if rule.selects else "prior",
        any_selected=any(stats.num_selected for stats in data.generations),
        is_logged=task.run.edit_log_column is not None,
        last=last,
        sample=SAMPLE,
        first_rate=figures[0].selected_rate,
        last_rate=figures[-1].selected_rate,
        last_reading=data.readings[-1] if data.readings else None,
        revert_command=fenced(shell(["hf-toedit", "revert", data.place, "-o", "source"]), "bash"),
        revert=fenced(_revert_snippet(data), "python"),
        examples=[(_example_name(example, data), _diff(example)) for example in data.examples],
        alt=_alternatives(data),
    )


def _rarely_changes(rule: Rule) -> bool:
    """Whether a draw is nearly sure to give the token that was there."""
    edit = rule.config
    is_sure = rule.at_least is not None and rule.at_least >= 0.9 and not edit.own
    return is_sure and edit.temperature <= 1 and not edit.exclude_original


def _headline(data: EditCardData) -> str:
    """What was selected and changed, in the first generation and the last."""
    edit, rule, last = data.task.edit, rule_in(data.plan), len(data.generations)
    told = []
    for generation in sorted({1, last}):
        stats = data.generations[generation - 1]
        figures = []
        if rule.selects:
            figures.append(f"{stats.num_selected:,} ({stats.selected_rate:.2%}) were selected")
            figures.append(f"{stats.num_changed:,} ({stats.changed_rate:.2%}) changed")
        if rule.selects and edit.accept is not None:
            figures.append(f"{stats.num_rejected:,} edits were rejected")
        if edit.drop_below is not None:
            figures.append(f"{stats.num_dropped:,} were deleted")
        done = " and ".join([", ".join(figures[:-1]), figures[-1]] if figures[1:] else figures or ["none was selected"])
        which = "of" if last == 1 else f"in generation {generation}, of"
        told.append(f"{which} {stats.num_tokens:,} tokens in {stats.num_rows:,} rows, {done}")
    return sentence(told)


def _revert_snippet(data: EditCardData) -> str:
    """The call of `hf_toedit.revert`, with the arguments that are not its own defaults."""
    source, log = data.plan.source, data.task.run.edit_log_column or ""
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


def _example_name(example: Example, data: EditCardData) -> Markdown:
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


def _alternatives(data: EditCardData) -> Mapping[str, str]:
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
        "probabilities": f"Bars: tokens by probability. {sentence(shares)}{bound}",
        "perplexity": f"Bars: texts by perplexity. {sentence(middles)}",
        "decay": f"Lines: the share of selected tokens by generation is {rates}; in the paper {paper}.{standing}",
    }
