"""The pictures of a probe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_toedit.analysis.plots import cycle
from hf_toedit.cards.plots import INK, legend, png
from hf_toedit.probes.verdict import ALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_plots(report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the pictures as PNG, by file name.

    Args:
        report: Output of `summary`.
    """
    return {"differences.png": png(_draw_differences, report), "losses.png": png(_draw_losses, report)}


def _draw_differences(figure: Figure, report: Mapping[str, Any]) -> None:
    """Draw the change of perplexity relative to the reference over all sets, with its interval; left is better."""
    comparisons = report["comparisons"]
    axes = figure.subplots()
    rates = [f"{rate:g}" for rate in report["training"]["learning_rates"]]
    for number, (rate, colour) in enumerate(zip(rates, cycle(len(rates) + 1)[1:], strict=True)):
        entries = [found["differences"][rate][ALL] for found in comparisons.values()]
        places = [row + 0.5 * ((number + 0.5) / len(rates) - 0.5) for row in range(len(entries))]
        values, lows, highs = (
            [100 * math.expm1(entry[part]) for entry in entries] for part in ("value", "low", "high")
        )
        reach = ([v - low for v, low in zip(values, lows, strict=True)],
                 [high - v for v, high in zip(values, highs, strict=True)])  # fmt: skip
        axes.errorbar(values, places, xerr=reach, fmt="o", color=colour, capsize=4, label=f"learning rate {rate}")
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(comparisons)), list(comparisons))
    axes.set_ylim(len(comparisons) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.set_xlabel(f"perplexity against {report['reference']}, in % (left is better)")
    legend(figure)


def _draw_losses(figure: Figure, report: Mapping[str, Any]) -> None:
    """Draw the training loss by step, as the mean over seeds; one panel per learning rate."""
    losses = report["losses"]
    rates = [f"{rate:g}" for rate in report["training"]["learning_rates"]]
    panels = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    for axes, rate in zip(panels, rates, strict=True):
        for (name, by_rate), colour in zip(losses.items(), cycle(len(losses)), strict=True):
            axes.plot(*zip(*by_rate[rate], strict=True), color=colour, label=name)
        axes.set_title(f"learning rate {rate}")
        axes.set_xlabel("step")
    panels[0].set_ylabel("training loss")
    legend(figure)
