"""The figures of an edit card, as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from hf_toedit.cards.edit_data import EditCardData, ReadStats
from hf_toedit.cards.escape import Markdown, code, percent
from hf_toedit.cards.method import edit_rows, rule_in
from hf_toedit.cards.origin import source_rows, version_rows
from hf_toedit.cards.tables import field_table, table, type_name
from hf_toedit.place_kinds import KINDS
from hf_toedit.rows.flat import FIGURES as FLAT_FIGURES
from hf_toedit.stats import NANO, PERPLEXITY_EDGES, PROBABILITY_BINS, SAMPLE, EditStats, generation_figures

_MOST_BARS = 8
"""Maximum number of bars in the picture of kinds; with more generations, the first ones and the last are shown."""

PAPER = ((4_671_834, 584_103), (4_671_834, 549_519), (4_671_834, 517_433))
"""Tokens and selected tokens of Natural-Instructions over three generations (paper, Table 9)."""


def origin(data: EditCardData) -> Markdown:
    """Return a table of everything that determines the result."""
    return table(("what", "value"), [*source_rows(data), *edit_rows(data), *version_rows(data)], left=2)


def fields(data: EditCardData) -> Markdown:
    """Return a table of all columns and what was done with them."""
    log = data.task.run.edit_log_column or ""
    notes: dict[str | None, str] = {log: "edit log"}
    if data.task.run.flat_columns:
        notes |= {f"{log}_{figure}": "figure of the edit log" for figure in FLAT_FIGURES}
    return field_table(data, notes)


def statistics(data: EditCardData) -> Markdown:
    """Return a table of counts by generation and split."""
    columns = {
        "rows": lambda stats: f"{stats.num_rows:,}",
        "rows changed": lambda stats: f"{stats.num_rows_changed:,}",
        "texts": lambda stats: f"{stats.num_documents:,}",
        "tokens": lambda stats: f"{stats.num_tokens:,}",
    }
    if rule_in(data.plan).selects:
        columns |= {
            "selected": lambda stats: f"{stats.num_selected:,}",
            "selected %": lambda stats: f"{stats.selected_rate:.2%}",
            "changed": lambda stats: f"{stats.num_changed:,}",
            "changed %": lambda stats: f"{stats.changed_rate:.2%}",
        }
        if data.task.edit.accept is not None:
            columns["rejected"] = lambda stats: f"{stats.num_rejected:,}"
    if any(stats.num_dropped for stats in data.generations):
        columns["deleted"] = lambda stats: f"{stats.num_dropped:,}"
    rows = [[*head, *(write(stats) for write in columns.values())] for head, stats in _by_split(data)]
    return table((*_heads(data), *columns), rows, left=len(_heads(data)))


def kinds(data: EditCardData) -> Markdown:
    """Return a table of selected, changed and deleted tokens by kind and generation, over all splits."""
    present = [kind for kind in KINDS if any(kind in stats.kinds for stats in data.generations)]
    rows = []
    for number, stats in enumerate(data.generations, start=1):
        for what in ("selected", "changed", "dropped"):
            counts = [getattr(stats.kinds[kind], f"num_{what}") if kind in stats.kinds else 0 for kind in present]
            if whole := sum(counts):
                shown = [f"{count:,} ({count / whole:.1%})" for count in counts]
                rows.append([number, "deleted" if what == "dropped" else what, *shown])
    return table(("generation", "tokens", *(KINDS[kind] for kind in present)), rows, left=2)


def kind_bars(data: EditCardData) -> list[tuple[str, dict[str, float]]]:
    """Return the bars of the picture of kinds: a name and the share of each kind."""
    if not data.has_kinds:
        return []
    several = len(data.generations) > 1
    bars = []
    for number, stats in enumerate(data.generations, start=1):
        for what in ("changed", "dropped") if several else ("selected", "changed", "dropped"):
            counts = {kind: getattr(entry, f"num_{what}") for kind, entry in stats.kinds.items()}
            if whole := sum(counts.values()):
                name = "deleted" if what == "dropped" else what
                bars.append(
                    (
                        f"{name} in generation {number}" if several else name,
                        {kind: count / whole for kind, count in counts.items()},
                    )
                )
    return bars if len(bars) <= _MOST_BARS else [*bars[: _MOST_BARS - 1], bars[-1]]


def note(data: EditCardData) -> str | None:
    """Return the footnote of readings marked with an asterisk; None if there are none."""
    last = len(data.generations)
    if not any(_is_of_before(reading, data) for reading in data.readings):
        return None
    return (
        f"The result of generation {last} was not scored; these figures are of the texts that generation {last} read."
    )


def causes(data: EditCardData, name: str) -> Markdown | None:
    """Return a table of `num_ineligible` or `num_skipped` by cause; None if there are none."""
    found = sorted({cause for stats in data.generations for cause in getattr(stats, name)})
    if not found:
        return None
    rows = [[*head, *(f"{getattr(stats, name)[cause]:,}" for cause in found)] for head, stats in _by_split(data)]
    return table((*_heads(data), *(cause.replace("_", " ") for cause in found)), rows, left=len(_heads(data)))


def decay(data: EditCardData) -> Markdown:
    """Return a table of the generations beside the paper's Table 9."""
    figures = generation_figures(data.generations)
    columns: dict[str, list[str]] = {
        "generation": [str(entry.generation) for entry in figures],
        "tokens": [f"{stats.num_tokens:,}" for stats in data.generations],
        "selected": [f"{stats.num_selected:,} ({stats.selected_rate:.2%})" for stats in data.generations],
        "eta": ["" if entry.eta is None else f"{entry.eta:.3f}" for entry in figures],
        "changed": [f"{stats.num_changed:,} ({stats.changed_rate:.2%})" for stats in data.generations],
        "characters unchanged": [percent(entry.characters_unchanged) for entry in figures],
        "tokens unchanged": [percent(entry.tokens_unchanged) for entry in figures],
        "paper: selected": [f"{selected:,} ({selected / tokens:.2%})" for tokens, selected in PAPER],
        "paper: eta": ["", *(f"{now / before:.3f}" for (_, before), (_, now) in zip(PAPER, PAPER[1:], strict=False))],
    }
    filled = {
        heading: [*cells, *[""] * len(figures)][: len(figures)] for heading, cells in columns.items() if any(cells)
    }
    return table(list(filled), zip(*filled.values(), strict=True), left=0)


def draws(data: EditCardData) -> Markdown:
    """Return a table of the mean probability of the selected tokens before and after resampling."""
    rows = [
        (
            number,
            f"{stats.probability_before_nano * NANO / stats.num_selected:.4f}",
            f"{stats.probability_after_nano * NANO / stats.num_selected:.4f}",
        )
        for number, stats in enumerate(data.generations, start=1)
        if stats.num_selected
    ]
    return table(("generation", "before resampling", "after resampling"), rows, left=0)


def probabilities(data: EditCardData) -> Markdown:
    """Return a table of scored tokens by probability (paper, Table 8)."""
    headings = ["probability"]
    columns: list[list[str]] = [[f"{n / 10:.1f} to {(n + 1) / 10:.1f}" for n in range(PROBABILITY_BINS)]]
    for reading in data.readings:
        name = _marked(reading, data)
        headings += [f"{name}: tokens", f"{name}: share"]
        counts = reading.stats.probability_histogram
        columns += [[f"{count:,}" for count in counts], [f"{count / reading.stats.num_scored:.2%}" for count in counts]]
    return table(headings, zip(*columns, strict=True))


def perplexities(data: EditCardData) -> Markdown:
    """Return a table of the perplexity over all tokens and that of the median text."""
    rows = [
        (_marked(reading, data), f"{reading.stats.perplexity:,.2f}", median_perplexity(reading.stats))
        for reading in data.readings
    ]
    return table(("text", "over all tokens", "of the median text"), rows)


def edit_log(data: EditCardData) -> Markdown:
    """Return a table with the meaning of each field of the edit log."""
    sampled = any(stats.is_sample for stats in data.generations)
    read = f"1 token in {SAMPLE} of the text that was read" if sampled else "the text that was read"
    meanings = {
        "num_tokens": "tokens of the text that was read",
        "num_selected": "of these, resampled",
        "num_changed": "of these, replaced by other text",
        "num_dropped": "tokens deleted",
        "num_rejected": "selected tokens whose new text was rejected and restored",
        "nll": f"mean negative log-likelihood of {read}, in nats per token",
        "edits": "differences from the source",
        "edits[].path": "index of the text in the row",
        "edits[].start": "first character of the place, in the edited text",
        "edits[].end": "one past its last",
        "edits[].source": "the characters of the source at this place",
        "edits[].generation": "the generation that changed this place last",
    }
    feature = data.features[data.task.run.edit_log_column or ""]
    types = {**feature, **{f"edits[].{name}": inner for name, inner in feature["edits"].feature.items()}}
    types["edits"] = "list"
    rows = [(code(name), code(type_name(types[name])), meaning) for name, meaning in meanings.items() if name in types]
    return table(("field", "type", "meaning"), rows, left=3)


def label(reading: ReadStats) -> str:
    """Return the name of the texts of a reading."""
    return f"after generation {reading.after}" if reading.after else "source"


def median_perplexity(stats: EditStats) -> str:
    """Return the perplexity of the median text; its bin if the exact value is unknown."""
    if stats.median_perplexity is not None:
        return f"{stats.median_perplexity:,.4g}"
    half = sum(stats.perplexity_histogram) / 2
    index = next(index for index, count in enumerate(accumulate(stats.perplexity_histogram)) if count >= half)
    edges = [f"{10**edge:,.3g}" if edge < 3 else f"{10**edge:,.0f}" for edge in PERPLEXITY_EDGES]
    return f"{edges[index]} to {edges[index + 1]}" if index + 1 < len(edges) else f"over {edges[index]}"


def _is_of_before(reading: ReadStats, data: EditCardData) -> bool:
    return 0 < reading.after < len(data.generations)


def _marked(reading: ReadStats, data: EditCardData) -> str:
    return label(reading) + ("*" if _is_of_before(reading, data) else "")


def _heads(data: EditCardData) -> tuple[str, ...]:
    return ("generation", "split") if len(data.plan.splits) > 1 else ("generation",)


def _by_split(data: EditCardData) -> Iterator[tuple[list[object], EditStats]]:
    """Yield generation, split and statistics; with several splits, also the statistics of all splits at the end."""
    for number, (by_split, together) in enumerate(zip(data.by_split, data.generations, strict=True), start=1):
        if len(by_split) == 1:
            yield [number], together
            continue
        for split, stats in by_split.items():
            yield [number, code(split)], stats
        yield [number, Markdown("**all**")], together
