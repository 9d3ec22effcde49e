"""The pictures of a score card; their alternative texts are in `score_card`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hf_toedit.cards.plots import COLOURS, INK, legend, png
from hf_toedit.cards.score_bars import Bars, bars_of
from hf_toedit.cards.score_data import ScoreCardData, ScoreField
from hf_toedit.cards.score_tables import number
from hf_toedit.cards.scorer_words import scorer_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 12
"""Maximum number of fields with a picture: the first ones."""

_NAME_LENGTH = 40
_LATIN = 0x250
"""The font contains all characters below this code point."""

_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Picture(NamedTuple):
    """A field that has a picture.

    Attributes:
        file: Name of the file.
        field: The field.
        bars: Histogram of the field.
        what: What its values are, in a few words.
    """

    file: str
    field: ScoreField
    bars: Bars
    what: str


def pictures(data: ScoreCardData) -> list[Picture]:
    """Return the fields that have a picture."""
    words = scorer_words(data.task.scorer)
    found = [(field, bars_of(field)) for field in data.score_fields[:MOST]]
    return [
        Picture(f"scores-{field.number}.png", field, bars, words.what(_plain(field)))
        for field, bars in found
        if bars is not None
    ]


def draw_score_plots(data: ScoreCardData) -> dict[str, bytes]:
    """Draw the pictures for which there is data.

    Returns:
        PNG files by name; the same run gives the same bytes with the same version of matplotlib.
    """
    return {picture.file: png(_histogram, picture) for picture in pictures(data)}


def _histogram(figure: Figure, picture: Picture) -> None:
    """Draw rows by the values of a field, with a line at the median."""
    axes, bars = figure.subplots(), picture.bars
    places, shares = bars.places, 100 * bars.counts / picture.field.values.num_values
    widths = np.diff(places)
    axes.bar(places[:-1] + 0.03 * widths, shares, 0.94 * widths, align="edge", color=COLOURS[0], label="rows")
    median = picture.field.values.quantile(0.5)
    at = float(bars.place(np.array([median]))[0])
    if places[0] <= at <= places[-1]:
        label = f"median: {number(math.exp(median) if bars.axis == 'exp' else median, picture.field.is_whole)}"
        axes.axvline(at, color=INK, linewidth=1.5, linestyle=(0, (4, 3)), label=label)
    if bars.axis != "linear":
        ticks = dict(_ticks(float(places[0]), float(places[-1])))
        if picture.field.is_whole:
            ticks = {place: words for place, words in ticks.items() if "." not in words}
        axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_title(f"Rows by {picture.what}", parse_math=False)
    axes.set_xlabel(picture.what, parse_math=False)
    axes.set_ylabel("% of rows")
    legend(figure)


def _ticks(first: float, last: float) -> Iterator[tuple[float, str]]:
    """Yield positions along an axis of logarithms to base 10, with their labels."""
    if last - first <= 0.3:
        from matplotlib.ticker import MaxNLocator

        values = [float(value) for value in MaxNLocator(8).tick_values(10**first, 10**last) if value > 0]
        yield from ((math.log10(value), f"{value:,.12g}") for value in values if first <= math.log10(value) <= last)
        return
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if last - first <= 1.2 else (1, 2, 5) if last - first <= 3 else (1,)
    stride = max(1, math.ceil((last - first) / 10))
    for power in range(math.floor(first), math.ceil(last) + 1):
        for step in steps:
            place = power + math.log10(step)
            if power % stride == 0 and first <= place <= last:
                yield place, f"{step * 10.0**power:,.6g}" if -3 < power < 6 else f"10{str(power).translate(_RAISED)}"


def _plain(field: ScoreField) -> str:
    """Return the name of a field if a picture can show it, else its number."""
    name = field.name
    is_plain = name.isprintable() and len(name) <= _NAME_LENGTH and all(ord(character) < _LATIN for character in name)
    return name if is_plain else f"field {field.number}"
