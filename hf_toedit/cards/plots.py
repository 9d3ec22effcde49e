"""The pictures of a card, as PNG; their words for those who cannot see them are in `card`.

Each stands on a light ground of its own, so that it reads the same on a dark page. Blue and vermilion are told apart
by people who see few colours, and differ in lightness as well.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.cards.curves import PAPER_SELECTED, selected_curve, standing_curve
from hf_toedit.cards.data import CardData
from hf_toedit.cards.method import rule_in
from hf_toedit.cards.tables import label
from hf_toedit.stats import PERPLEXITY_EDGES, PROBABILITY_BINS, TAIL_EDGES, EditStats, generation_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 800
"""Pixels that a picture takes on a page; it has twice as many."""

_COLOURS = ("#0072b2", "#e5833b")
_INK, _PALE, _GROUND = "#24292f", "#6e7781", "#f6f8fa"
_DPI = 100
_COLOURS_OF_A_FILE = 64
"""Few make a small file, and are enough for lines, bars and the edges of letters."""

_TAIL_TICKS = ("0.1", "0.01", "0.001", "10⁻⁴", "10⁻⁵", "10⁻⁶")
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _PALE,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.facecolor": _GROUND,
    "figure.facecolor": _GROUND,
    "grid.color": "#d0d7de",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.1,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
}


def draw_plots(data: CardData) -> dict[str, bytes]:
    """Draw what there is to show.

    Returns:
        PNG files by name; the same run gives the same bytes, with the same version of matplotlib.
    """
    drawn: dict[str, Callable[[Figure, CardData], None]] = {}
    if data.is_scored:
        drawn = {"probabilities.png": _probabilities, "perplexity.png": _perplexity}
    if data.has_decay:
        drawn["decay.png"] = _decay
    return {name: _png(draw, data) for name, draw in drawn.items()}


def _png(draw: Callable[[Figure, CardData], None], data: CardData) -> bytes:
    with _style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        figure = Figure(figsize=(WIDTH / _DPI, 3.6), dpi=2 * _DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure, data)
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    stream = io.BytesIO()
    image.quantize(_COLOURS_OF_A_FILE, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Settings of our own, whatever stands in a `matplotlibrc`; and no word about font caches."""
    import matplotlib

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def _probabilities(figure: Figure, data: CardData) -> None:
    """Tokens by probability (paper, Figure 6), and the upper end apart where the threshold lies in it."""
    rule = rule_in(data.plan)
    tail_from = rule.at_least if 0.9 <= (rule.at_least or 0) < 1 else None
    panels = figure.subplots(1, 1 if tail_from is None else 2, squeeze=False)[0]
    _bars(panels[0], data, [reading.stats.probability_histogram for reading in data.readings], _tokens)
    panels[0].set_xticks([n - 0.5 for n in range(0, 11, 2)], [f"{n / 10:g}" for n in range(0, 11, 2)])
    panels[0].set(title="Tokens by probability p", xlabel="p, as the prior gives it", ylabel="% of tokens")
    line = {
        "color": _INK,
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
    _legend(figure)


def _perplexity(figure: Figure, data: CardData) -> None:
    """Texts by perplexity."""
    axes = figure.subplots()
    counts = [reading.stats.perplexity_histogram for reading in data.readings]
    used = [n for n in range(len(PERPLEXITY_EDGES)) if any(count[n] for count in counts)]
    first, last = used[0], used[-1] + 1
    _bars(axes, data, [count[first:last] for count in counts], _texts)
    edges = [n for n in range(first, min(last + 1, len(PERPLEXITY_EDGES))) if (n - first) % 2 == 0 or len(used) <= 8]
    axes.set_xticks([n - first - 0.5 for n in edges], [_number(10 ** PERPLEXITY_EDGES[n]) for n in edges])
    axes.set(title="Texts by perplexity", xlabel="perplexity of the text under the prior", ylabel="% of texts")
    _legend(figure)


def _decay(figure: Figure, data: CardData) -> None:
    """Selected tokens beside the paper's, and what stands of the source where that is known."""
    figures = generation_figures(data.generations)
    numbers = [entry.generation for entry in figures]
    characters = standing_curve([entry.characters_standing for entry in figures])
    tokens = standing_curve([entry.tokens_standing for entry in figures])
    panels = figure.subplots(1, 2 if characters else 1, squeeze=False)[0]
    run = selected_curve(figures)
    panels[0].plot(numbers, run, color=_COLOURS[0], marker="o", linewidth=2, label="this run")
    panels[0].plot([1, 2, 3], PAPER_SELECTED, color=_PALE, marker="s", linestyle="--", label="paper, Table 9")
    panels[0].set(title="Share of selected tokens", xlabel="generation", ylabel="% of that in generation 1")
    if characters:
        panels[1].plot([0, *numbers], characters, color=_COLOURS[0], marker="o", linewidth=2, label="characters")
        if tokens:
            panels[1].plot([0, *numbers], tokens, color=_COLOURS[1], marker="s", linewidth=2, label="tokens")
        panels[1].set(title="Of the source, still standing", xlabel="generation (0 is the source)", ylabel="%")
    for axes in panels:
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.ticklabel_format(useOffset=False)
        axes.legend()


def _bars(axes: Axes, data: CardData, counts: Sequence[Sequence[int]], wholes: Callable[[EditStats], int]) -> None:
    """Shares side by side, one colour a reading, of what `wholes` says."""
    width = 0.86 / len(counts)
    for number, (reading, values) in enumerate(zip(data.readings, counts, strict=True)):
        whole = wholes(reading.stats)
        places = [n - 0.43 + width * (number + 0.5) for n in range(len(values))]
        axes.bar(places, [100 * n / whole for n in values], width, color=_COLOURS[number], label=label(reading))


def _tokens(stats: EditStats) -> int:
    return stats.num_scored


def _texts(stats: EditStats) -> int:
    return sum(stats.perplexity_histogram)


def _legend(figure: Figure) -> None:
    """One for all panels, above them, where nothing lies under it."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))


def _number(value: float) -> str:
    return f"{value:,.2g}" if value < 10 else f"{value:,.0f}"
