"""The card section about scores."""

from __future__ import annotations

from hf_toedit.cards import score_tables as tables
from hf_toedit.cards.escape import Markdown, code, fenced, literal
from hf_toedit.cards.score_data import ScoreCardData, ScoreField
from hf_toedit.cards.score_plots import MOST, Picture, pictures
from hf_toedit.cards.score_tables import number, perplexity
from hf_toedit.cards.scorer_words import scorer_words
from hf_toedit.cards.section import shared, template
from hf_toedit.cards.tables import short

_NAMED = 3
"""Maximum number of fields whose means are in the headline."""


def score_section(data: ScoreCardData) -> str:
    """Return Markdown about a score run."""
    task, fields = data.task, data.score_fields
    words = scorer_words(task.scorer)
    select = _select_snippet(data)
    return template("score").render(
        shared(data),
        tables=tables,
        scores=words.scores(data),
        headline=_headline(data),
        select=select and fenced(select, "python"),
        has_values=any(field.values.num_values for field in fields),
        has_nll=any(field.is_nll for field in fields),
        is_unreadable=data.scores.is_unreadable,
        pictures=[(code(short(picture.field.name)), picture.file, _alternative(picture)) for picture in pictures(data)],
        most=MOST if len(fields) > MOST else None,
        place=code(f"{task.scores_column}.{task.scorer.kind}"),
        limits=[Markdown(limit) for limit in words.limits()],
        model_role=words.role,
    )


def _headline(data: ScoreCardData) -> Markdown:
    """Return the most important figures as sentences."""
    known, num_rows = data.known_fields, data.scores.num_rows
    if not known:
        return Markdown(f"There is no score for any of the {num_rows:,} rows." if num_rows else "There are no rows.")
    first = known[0]
    if first.is_nll:
        parts = f"the median perplexity is about {number(perplexity(first.values.quantile(0.5)))}"
    else:
        means = [f"{number(field.values.mean)} for {code(short(field.name))}" for field in known[:_NAMED]]
        more = f" (the first {_NAMED} of {len(known):,} fields)" if len(known) > _NAMED else ""
        parts = f"the mean is {', '.join(means)}{more}"
    tokens = f"{data.scores.num_tokens:,} tokens in " if data.scores.num_tokens else ""  # verifiers count no tokens
    return Markdown(f"Of {tokens}{num_rows:,} rows, {parts}.{_without(known)}")


def _without(fields: list[ScoreField]) -> str:
    """Return the number of rows without a score as a sentence; empty if it differs between fields."""
    counts = {field.values.num_null for field in fields}
    count = counts.pop() if len(counts) == 1 else 0
    return "" if not count else " One row has no score." if count == 1 else f" {count:,} rows have no score."


def _select_snippet(data: ScoreCardData) -> str | None:
    """Return Python code that selects rows by their scores; None if there are none."""
    if not data.known_fields:
        return None
    field = data.known_fields[0]
    path = "".join(f"[{literal(name)}]" for name in (data.task.scores_column, data.task.scorer.kind, field.name))
    sign, median = "<=" if field.is_nll else ">=", field.values.quantile(0.5)
    return "\n".join(
        [
            "def is_wanted(row):",
            f"    score = row{path}",
            f"    return score is not None and score {sign} {median:.4g}  # about the median",
            "",
            "wanted = dataset.filter(is_wanted)",
        ]
    )


def _alternative(picture: Picture) -> str:
    """Return the alternative text of a picture."""
    values, what = picture.field.values, picture.what

    def quantile(q: float) -> str:
        value = values.quantile(q)
        return number(perplexity(value) if picture.field.is_nll else value, picture.field.is_whole)

    count = picture.bars.num_left_out
    are = "One row without tokens is" if count == 1 else f"{count:,} rows without tokens are"
    left_out = f" {are} not shown." if count else ""
    return (
        f"Bars: rows by {what}, from {quantile(0.0)} to {quantile(1.0)}. Of {values.num_values:,} rows, half are at "
        f"{quantile(0.5)} or below, and 90% between {quantile(0.05)} and {quantile(0.95)}.{left_out}"
    )
