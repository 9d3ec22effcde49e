"""The figures of a score card, as Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from hf_toedit.cards.escape import Markdown, code, markdown
from hf_toedit.cards.origin import given, source_rows, version_rows
from hf_toedit.cards.score_data import ScoreCardData, ScoreField
from hf_toedit.cards.scorer_words import scorer_words
from hf_toedit.cards.tables import field_table, short, table
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.statistics import QUANTILES, ScoreStats


def origin(data: ScoreCardData) -> Markdown:
    """Return a table of everything that determines the result."""
    scorer_rows = scorer_words(data.task.scorer).rows(data)
    column = given({"scores in column": data.task.scores_column})
    return table(("what", "value"), [*source_rows(data), *scorer_rows, *column, *version_rows(data)], left=2)


def read(data: ScoreCardData) -> Markdown:
    """Return a table of what was read, and what was not by cause; by split if there are several."""
    causes = sorted(data.scores.num_skipped)
    headings = ("rows", "texts", "tokens", *(f"not read: {cause.replace('_', ' ')}" for cause in causes))

    def cells(stats: ScoreStats) -> list[str]:
        counts = (stats.num_rows, stats.num_documents, stats.num_tokens)
        return [f"{count:,}" for count in (*counts, *(stats.num_skipped.get(cause, 0) for cause in causes))]

    if len(data.by_split) == 1:
        return table(headings, [cells(data.scores)], left=0)
    rows = [[code(split), *cells(stats)] for split, stats in data.by_split.items()]
    return table(("split", *headings), [*rows, [Markdown("**all**"), *cells(data.scores)]])


def values(data: ScoreCardData) -> Markdown:
    """Return a table of the distribution of each field's values; by split if there are several."""
    several = len(data.by_split) > 1
    heads = ("field", "split") if several else ("field",)
    headings = (*heads, "values", "null", "mean", "min", *(f"{q:.0%}" for q in QUANTILES), "max")
    rows = []
    for field in data.score_fields:
        parts = {code(split): values for split, values in field.by_split.items()} if several else {}
        for name, write in _rows_of(field):
            for split, found in (parts | {Markdown("**all**"): field.values}).items():
                rows.append([name, *([split] if several else []), *write(found)])
    return table(headings, rows, left=len(heads))


def fields(data: ScoreCardData) -> Markdown:
    """Return a table of all columns and what was done with them."""
    return field_table(data, {data.task.scores_column: "scores"})


def score_fields(data: ScoreCardData) -> Markdown:
    """Return a table with the meaning of each field of the scores."""
    scorer = data.task.scorer
    words = scorer_words(scorer)
    rows = [(code(short(name)), code(dtype), words.meaning(name)) for name, dtype in scorer.fields.items()]
    return table(("field", "type", "meaning"), rows, left=3)


def number(value: float, is_whole: bool = False) -> str:
    """Format a value with as many digits as readers need."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if is_whole or 1000 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def perplexity(nll: float) -> float:
    """Return the exponential; infinity if it is too large for a float."""
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf


def _rows_of(field: ScoreField) -> Iterator[tuple[Markdown, Callable[[Distribution], list[str]]]]:
    """Yield the table rows of a field: their names and the functions that write their cells."""

    def cells(values: Distribution) -> list[str]:
        counts = [f"{values.num_values:,}", f"{values.num_null:,}"]
        if not values.num_values:
            return [*counts, *[""] * (len(QUANTILES) + 3)]
        quantiles = [number(value, field.is_whole) for value in _quantiles(values)]
        return [*counts, number(values.mean), *quantiles]

    def exponentials(values: Distribution) -> list[str]:
        quantiles = _quantiles(values) if values.num_values else [None] * (len(QUANTILES) + 2)
        return ["", "", "", *("" if value is None else number(perplexity(value)) for value in quantiles)]

    yield code(short(field.name)), cells
    if field.is_nll:
        yield markdown("as perplexity"), exponentials


def _quantiles(values: Distribution) -> list[float]:
    """Return minimum, quantiles and maximum."""
    return [values.quantile(q) for q in (0.0, *QUANTILES, 1.0)]
