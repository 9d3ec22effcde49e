"""The card section about edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hf_toedit.cards import edit_tables as tables
from hf_toedit.cards.edit_data import EditCardData
from hf_toedit.cards.edit_examples import WHOLE, Example, Place
from hf_toedit.cards.edit_uses import citations, not_for, uses
from hf_toedit.cards.escape import Markdown, code, fenced, html, literal, shell
from hf_toedit.cards.method import method_words, rule_in
from hf_toedit.cards.origin import model_words
from hf_toedit.cards.section import sentence, shared, template
from hf_toedit.config import RunConfig, TextConfig
from hf_toedit.editing.diff import ADDED, REMOVED, segments
from hf_toedit.editing.rules import Rule
from hf_toedit.place_kinds import KINDS
from hf_toedit.stats import SAMPLE, decimal, generation_figures

_PLACES, _CONTEXT, _UNEDITED_LENGTH = 4, 60, 200


def edit_section(data: EditCardData) -> str:
    """Return Markdown about an edit run."""
    task, last, rule = data.task, data.generations[-1], rule_in(data.plan)
    figures = generation_figures(data.generations)
    return template("edit").render(
        shared(data),
        task=task,
        tables=tables,
        prior=model_words(data),
        method=method_words(data.plan),
        headline=_headline(data),
        unchanged=figures[-1].characters_unchanged,
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
        opening=[
            (words, [(_place_name(place, data), _place(place)) for place in places]) for words, places in _opening(data)
        ],
        uses=uses(data),
        not_for=not_for(data),
        citations=fenced(citations(data), "bibtex"),
        note=tables.note(data),
        examples=[(_example_name(example, data), _diff(example)) for example in data.examples],
        alt=_alternatives(data),
    )


def _rarely_changes(rule: Rule) -> bool:
    """Whether resampling almost always returns the original token."""
    edit = rule.config
    is_sure = rule.at_least is not None and rule.at_least >= 0.9 and not edit.own
    return is_sure and edit.temperature <= 1 and not edit.exclude_original


def _headline(data: EditCardData) -> str:
    """Return the counts of selected and changed tokens in the first and the last generation."""
    edit, rule, last = data.task.edit, rule_in(data.plan), len(data.generations)
    parts = []
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
        parts.append(f"{which} {stats.num_tokens:,} tokens in {stats.num_rows:,} rows, {done}")
    return sentence(parts)


def _revert_snippet(data: EditCardData) -> str:
    """Return the call of `hf_toedit.revert`, with only the arguments that differ from its defaults."""
    source, log = data.plan.source, data.task.run.edit_log_column or ""
    config = TextConfig(messages_column=source.messages_column)
    given = {
        "text_column": _literals(source.text_columns) if source.text_columns != config.text_columns else None,
        "messages_column": literal(source.messages_column) if source.messages_column is not None else None,
        "roles": _literals(source.roles) if source.messages_column and source.roles != config.roles else None,
        "edit_log_column": literal(log) if log != RunConfig().edit_log_column else None,
    }
    parts = "".join(f", {name}={value}" for name, value in given.items() if value is not None)
    return f"import hf_toedit\n\nsource = hf_toedit.revert(dataset{parts})"


def _literals(words: tuple[str, ...]) -> str:
    return literal(words[0]) if len(words) == 1 else f"[{', '.join(map(literal, words))}]"


def _row_name(example: Example, data: EditCardData) -> Markdown:
    split = f" of {code(example.split)}" if len(data.plan.splits) > 1 else ""
    path = f", {code(example.path)}" if example.path is not None else ""
    return Markdown(f"row {example.row:,}{split}{path}")


def _example_name(example: Example, data: EditCardData) -> Markdown:
    count = len(example.table.edits)
    state = "not edited" if count == 0 else "edited in one place" if count == 1 else f"edited in {count:,} places"
    return Markdown(f"R{_row_name(example, data)[1:]}, {state}")


def _opening(data: EditCardData) -> Iterator[tuple[str, list[Place]]]:
    """Yield two edits that keep the text readable and two that do not, of different kinds where possible."""
    whole = _of_different_kinds([place for place in data.places if place.is_whole], ("whole_word", "capitalised_word"))
    broken = [place for place in data.places if not place.is_whole and place.kind not in WHOLE]
    for words, places in (
        ("Edits that leave words whole, so that a text mostly reads on", whole),
        (
            "Edits that break a word, or change what the text says",
            _of_different_kinds(broken, ("number", "inside_word", "code")),
        ),
    ):
        if places:
            yield words, places


def _of_different_kinds(places: Sequence[Place], first: Sequence[str]) -> list[Place]:
    """Return two places, preferring these kinds; both of one kind only if there is no other."""
    order = {kind: number for number, kind in enumerate([*first, *(kind for kind in KINDS if kind not in first)])}
    met: Counter[str] = Counter()
    ranked: list[tuple[int, int, int, Place]] = []
    for place in places:
        ranked.append((met[place.kind], order[place.kind], len(ranked), place))
        met[place.kind] += 1
    return [place for *_, place in sorted(ranked, key=lambda entry: entry[:3])[:2]]


def _place_name(place: Place, data: EditCardData) -> Markdown:
    return Markdown(f"{KINDS[place.kind]} ({_row_name(place.example, data)})")


def _place(place: Place) -> Markdown:
    return _diff(place.example._replace(table=place.alone))


def _diff(example: Example) -> Markdown:
    """Return edited places as one HTML block without Markdown; the beginning of the text if it is not edited."""
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
    """Return alternative texts for the pictures."""
    threshold = rule_in(data.plan).threshold
    bound = "" if threshold is None else f" A line marks the threshold, {decimal(threshold)}."
    shares, middles = [], []
    for reading in data.readings:
        histogram, scored = reading.stats.probability_histogram, reading.stats.num_scored
        shares.append(
            f"{tables.label(reading)}: {histogram[0] / scored:.1%} of the tokens are below 0.1 and "
            f"{histogram[-1] / scored:.1%} at 0.9 or above"
        )
        middles.append(f"{tables.label(reading)}: the median text has {tables.median_perplexity(reading.stats)}")
    rates = ", ".join(f"{stats.selected_rate:.2%}" for stats in data.generations)
    paper = ", ".join(f"{selected / tokens:.2%}" for tokens, selected in tables.PAPER)
    last = generation_figures(data.generations)[-1]
    unchanged = (
        ""
        if last.characters_unchanged is None
        else f" {last.characters_unchanged:.2%} of the source's characters are unchanged at the end."
    )
    kinds = [
        f"{name}: {', '.join(f'{share:.1%} {KINDS[kind]}' for kind, share in shares.items() if share)}"
        for name, shares in tables.kind_bars(data)
    ]
    return {
        "kinds": f"Stacked bars: tokens by kind. {sentence(kinds)}" if kinds else "",
        "probabilities": f"Bars: tokens by probability. {sentence(shares)}{bound}",
        "perplexity": f"Bars: texts by perplexity. {sentence(middles)}",
        "decay": f"Lines: the share of selected tokens by generation is {rates}; in the paper {paper}.{unchanged}",
    }
