"""The pictures of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hf_toedit import sketch
from hf_toedit.analysis.embedding import EmbeddingView
from hf_toedit.analysis.similarity import Similarity
from hf_toedit.analysis.variant import Variant
from hf_toedit.cards.plots import legend, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#24292f", "#0072b2", "#e5833b", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def draw_plots(
    variants: Sequence[Variant], similar: Mapping[str, Similarity], view: EmbeddingView | None = None
) -> dict[str, bytes]:
    """Return the pictures as PNG, by file name.

    Args:
        variants: The same as for `compared`.
        similar: The same as for `compared`.
        view: The same as for `compared`.
    """
    plots: dict[str, Callable[[Figure, Sequence[Variant]], None]] = {"ngrams.png": _draw_ngrams}
    for number, prior in enumerate(variants[0].readings, start=1):
        plots[f"perplexity-{number}.png"] = _for_prior(_draw_perplexities, prior)
        plots[f"probability-{number}.png"] = _for_prior(_draw_probabilities, prior)
    found = {name: png(draw, variants) for name, draw in plots.items()} | {
        "similarity.png": png(_draw_similarities, similar)
    }
    return found if view is None else {**found, "embeddings.png": png(_draw_embeddings, view)}


def _for_prior(draw: Callable[..., None], prior: str) -> Callable[[Figure, Sequence[Variant]], None]:
    return lambda figure, variants: draw(figure, variants, prior)


def _draw_ngrams(figure: Figure, variants: Sequence[Variant]) -> None:
    """Draw Figure 5 of Zhu et al. 2024: the share of each bucket, fullest first."""
    for axes, order in zip(figure.subplots(1, 2), ("unigrams", "bigrams"), strict=True):
        for variant, colour in zip(variants, cycle(len(variants)), strict=True):
            counts = np.sort(getattr(variant.texts.ngrams, order).sum(axis=0))[::-1]
            counts = counts[counts > 0]
            axes.plot(np.arange(1, len(counts) + 1), counts / counts.sum(), color=colour, label=variant.name)
        if any(len(line.get_xdata()) for line in axes.lines):  # texts of one word have no bigrams
            axes.set_xscale("log")
            axes.set_yscale("log")
        axes.set_title(order)
        axes.set_xlabel("bucket, the fullest first")
    figure.axes[0].set_ylabel("share of the n-grams")
    legend(figure)


def _draw_similarities(figure: Figure, similar: Mapping[str, Similarity]) -> None:
    """Draw Figure 12 of Zhu et al. 2024: texts in each bucket of locality-sensitive hashes, fullest first."""
    axes = figure.subplots()
    for (name, found), colour in zip(similar.items(), cycle(len(similar)), strict=True):
        shares = found.responses[found.responses > 0] / found.num_texts
        axes.plot(np.arange(1, len(shares) + 1), shares, color=colour, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bucket, the fullest first")
    axes.set_ylabel("share of the texts")
    legend(figure)


def _draw_perplexities(figure: Figure, variants: Sequence[Variant], prior: str) -> None:
    """Draw Figure 3: the distribution of the perplexities of documents."""
    from matplotlib.ticker import LogLocator

    axes = figure.subplots()
    found = [variant.readings[prior].perplexity_bins for variant in variants]
    tenths = [np.floor(10 * np.log10([sketch.middle(number) for number in bins])).astype(int) for bins in found]
    first, last = min(map(np.min, tenths)), max(map(np.max, tenths))
    edges = 10 ** (np.arange(first, last + 2) / 10)
    for variant, bins, places, colour in zip(variants, found, tenths, cycle(len(variants)), strict=True):
        counts = np.bincount(places - first, weights=list(bins.values()), minlength=len(edges) - 1)
        axes.stairs(counts / counts.sum(), edges, color=colour, label=variant.name, linewidth=1.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("perplexity of a document")
    axes.set_ylabel("share of the documents")
    legend(figure)


def _draw_probabilities(figure: Figure, variants: Sequence[Variant], prior: str) -> None:
    """Draw Figure 6 and Table 8: the distribution of token probabilities."""
    axes = figure.subplots()
    width = 0.8 / len(variants)
    for number, (variant, colour) in enumerate(zip(variants, cycle(len(variants)), strict=True)):
        counts = np.array(variant.readings[prior].probability_histogram, float)
        places = np.arange(len(counts)) + 0.1 + (number + 0.5) * width
        axes.bar(places, counts / counts.sum(), width, color=colour, label=variant.name)
    axes.set_xticks(np.arange(11), [f"{number / 10:g}" for number in range(11)])
    axes.set_xlabel("probability of a token")
    axes.set_ylabel("share of the tokens")
    legend(figure)


def _draw_embeddings(figure: Figure, view: EmbeddingView) -> None:
    """Draw Figure 4A: documents in a plane, and the number of documents in each cluster."""
    cloud, bars = figure.subplots(1, 2)
    for (name, points), colour in zip(view.points.items(), cycle(len(view.points)), strict=True):
        cloud.scatter(*points.T, s=7, color=colour, alpha=0.6, linewidths=0, label=name)
        shares = view.shares[name]
        bars.stairs(shares, np.arange(len(shares) + 1), color=colour, linewidth=1.4)
    cloud.set(title="documents by t-SNE", xticks=[], yticks=[])
    bars.set(title="clusters", xlabel="cluster, the fullest of the reference first", ylabel="share of the documents")
    legend(figure)


def cycle(count: int) -> list[str]:
    """Return colours for datasets, the reference's first; they repeat if there are many.

    Args:
        count: Number of datasets.
    """
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]
