"""The pictures of an edit card; their alternative texts are in `edit_card`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hf_toedit.cards.curves import PAPER_SELECTED, selected_curve, unchanged_curve
from hf_toedit.cards.edit_data import EditCardData
from hf_toedit.cards.edit_tables import kind_bars, label
from hf_toedit.cards.method import rule_in
from hf_toedit.cards.plots import COLOURS, GROUND, INK, KIND_COLOURS, PALE, legend, png
from hf_toedit.place_kinds import KINDS
from hf_toedit.stats import PERPLEXITY_EDGES, PROBABILITY_BINS, TAIL_EDGES, EditStats, generation_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELLED = 9
"""Minimum percentage at which a part of a bar is labelled with its value."""

_TAIL_TICKS = ("0.1", "0.01", "0.001", "10⁻⁴", "10⁻⁵", "10⁻⁶")


def draw_edit_plots(data: EditCardData) -> dict[str, bytes]:
    """Draw the pictures for which there is data.

    Returns:
        PNG files by name; the same run gives the same bytes with the same version of matplotlib.
    """
    drawn: dict[str, Callable[[Figure, EditCardData], None]] = {}
    if data.has_kinds:
        drawn["kinds.png"] = _kinds
    if data.is_scored:
        drawn |= {"probabilities.png": _probabilities, "perplexity.png": _perplexity}
    if data.has_decay:
        drawn["decay.png"] = _decay
    return {name: png(draw, data) for name, draw in drawn.items()}


def _kinds(figure: Figure, data: EditCardData) -> None:
    """Draw stacked bars of kinds and, with several generations, the shares of all tokens."""
    shown = kind_bars(data)
    if data.has_decay:
        axes, decay = figure.subplots(1, 2, width_ratios=(3, 2))
        numbers = range(1, len(data.generations) + 1)
        for name, colour, marker in (("selected", COLOURS[0], "o"), ("changed", COLOURS[1], "s")):
            rates = [100 * getattr(stats, f"{name}_rate") for stats in data.generations]
            decay.plot(numbers, rates, color=colour, marker=marker, linewidth=2, label=name)
        decay.set(title="Share of all tokens", xlabel="generation", ylabel="%", ylim=(0, None))
        decay.xaxis.get_major_locator().set_params(integer=True)
        decay.legend()
    else:
        axes = figure.subplots()
    places = range(len(shown))
    left = [0.0] * len(shown)
    for kind, colour in KIND_COLOURS.items():
        widths = [100 * shares.get(kind, 0) for _, shares in shown]
        if not any(widths):
            continue
        axes.barh(places, widths, 0.7, left, color=colour, edgecolor=GROUND, linewidth=0.8, label=KINDS[kind])
        for place, width in enumerate(widths):
            if width >= _LABELLED:
                axes.text(left[place] + width / 2, place, f"{width:.0f}%", ha="center", va="center", color=INK)
            left[place] += width
    axes.set_yticks(places, [name.replace(" in ", "\nin ") for name, _ in shown])
    axes.set(title="Tokens by kind", xlabel="% of these tokens", xlim=(0, 100), ylim=(len(shown) - 0.4, -0.6))
    axes.grid(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)


def _probabilities(figure: Figure, data: EditCardData) -> None:
    """Draw tokens by probability (paper, Figure 6), with a panel for the upper end if it contains the threshold."""
    rule = rule_in(data.plan)
    tail_from = rule.at_least if 0.9 <= (rule.at_least or 0) < 1 else None
    panels = figure.subplots(1, 1 if tail_from is None else 2, squeeze=False)[0]
    _bars(panels[0], data, [reading.stats.probability_histogram for reading in data.readings], _tokens)
    panels[0].set_xticks([n - 0.5 for n in range(0, 11, 2)], [f"{n / 10:g}" for n in range(0, 11, 2)])
    panels[0].set(title="Tokens by probability p", xlabel="p, as the prior gives it", ylabel="% of tokens")
    line = {
        "color": INK,
        "linewidth": 1.5,
        "linestyle": (0, (4, 3)),
        "label": f"selected: {rule.describe()}",
    }
    if rule.threshold is not None:
        panels[0].axvline(rule.threshold * PROBABILITY_BINS - 0.5, **line)
    if tail_from is not None:
        _bars(panels[1], data, [reading.stats.tail_histogram for reading in data.readings], _tokens)
        panels[1].set_xticks([n - 0.5 for n in range(0, len(TAIL_EDGES), 2)], _TAIL_TICKS)
        panels[1].set(title="Those with p of 0.9 and more", xlabel="1 − p")
        at = (-math.log10(1 - tail_from) - TAIL_EDGES[0]) / (TAIL_EDGES[1] - TAIL_EDGES[0]) - 0.5
        if at <= len(TAIL_EDGES) - 0.5:
            panels[1].axvline(at, **line)
    legend(figure)


def _perplexity(figure: Figure, data: EditCardData) -> None:
    """Draw texts by perplexity."""
    axes = figure.subplots()
    counts = [reading.stats.perplexity_histogram for reading in data.readings]
    used = [n for n in range(len(PERPLEXITY_EDGES)) if any(count[n] for count in counts)]
    first, last = used[0], used[-1] + 1
    _bars(axes, data, [count[first:last] for count in counts], _texts)
    edges = [n for n in range(first, min(last + 1, len(PERPLEXITY_EDGES))) if (n - first) % 2 == 0 or len(used) <= 8]
    axes.set_xticks([n - first - 0.5 for n in edges], [_number(10 ** PERPLEXITY_EDGES[n]) for n in edges])
    axes.set(title="Texts by perplexity", xlabel="perplexity of the text under the prior", ylabel="% of texts")
    legend(figure)


def _decay(figure: Figure, data: EditCardData) -> None:
    """Draw the selected tokens beside the paper's, and the unchanged share of the source where it is known."""
    figures = generation_figures(data.generations)
    numbers = [entry.generation for entry in figures]
    characters = unchanged_curve([entry.characters_unchanged for entry in figures])
    tokens = unchanged_curve([entry.tokens_unchanged for entry in figures])
    panels = figure.subplots(1, 2 if characters else 1, squeeze=False)[0]
    run = selected_curve(figures)
    panels[0].plot(numbers, run, color=COLOURS[0], marker="o", linewidth=2, label="this run")
    panels[0].plot([1, 2, 3], PAPER_SELECTED, color=PALE, marker="s", linestyle="--", label="paper, Table 9")
    panels[0].set(title="Share of selected tokens", xlabel="generation", ylabel="% of that in generation 1")
    if characters:
        panels[1].plot([0, *numbers], characters, color=COLOURS[0], marker="o", linewidth=2, label="characters")
        if tokens:
            panels[1].plot([0, *numbers], tokens, color=COLOURS[1], marker="s", linewidth=2, label="tokens")
        panels[1].set(title="Unchanged share of the source", xlabel="generation (0 is the source)", ylabel="%")
    for axes in panels:
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.ticklabel_format(useOffset=False)
        axes.legend()


def _bars(axes: Axes, data: EditCardData, counts: Sequence[Sequence[int]], wholes: Callable[[EditStats], int]) -> None:
    """Draw shares of the totals that `wholes` returns as grouped bars, one colour per reading."""
    width = 0.86 / len(counts)
    for number, (reading, values) in enumerate(zip(data.readings, counts, strict=True)):
        whole = wholes(reading.stats)
        places = [n - 0.43 + width * (number + 0.5) for n in range(len(values))]
        axes.bar(places, [100 * n / whole for n in values], width, color=COLOURS[number], label=label(reading))


def _tokens(stats: EditStats) -> int:
    return stats.num_scored


def _texts(stats: EditStats) -> int:
    return sum(stats.perplexity_histogram)


def _number(value: float) -> str:
    return f"{value:,.2g}" if value < 10 else f"{value:,.0f}"
