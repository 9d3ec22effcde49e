"""A comparison as people read it: Markdown and pictures from its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit import sketch
from hf_toedit.analysis.variant import Variant
from hf_toedit.cards.escape import Markdown, code, markdown, percent
from hf_toedit.cards.plots import legend, png
from hf_toedit.cards.tables import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#24292f", "#0072b2", "#e5833b", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_TOP_BIGRAMS = 10
_ORDERS = ("both", "unigrams", "bigrams")
_FIGURES = {"js": "Jensen-Shannon", "kl": "KL from the reference", "kl_reverse": "KL to the reference"}
_PARTS = ("value", "low", "high", "noise_floor", "noise_high")


def markdown_report(report: dict[str, Any]) -> str:
    """The report, which reads well on the Hub and in a terminal.

    Args:
        report: what `compared` gave.
    """
    reference, variants = report["reference"], report["variants"]
    priors = list(next(iter(variants.values()))["readings"])
    parts = [
        "# How these datasets differ",
        f"Each dataset is compared with {code(reference)}, the reference.",
        _verdicts(report),
        "The verdicts are those of Zhu et al. 2024 (arXiv 2412.14689, Eq. 9): *semi-synthetic* data stay within "
        "epsilon of the reference, *pure synthetic* data do not. They say how far texts are from the reference, and "
        "not who wrote them.",
        "## Texts",
        _texts(variants),
        "## n-grams",
        "Words and pairs of words, hashed into 10,000 buckets. The more of them are in few buckets, the less varied "
        "the text is.",
        _concentrations(variants),
        "![Share of the n-grams in the fullest buckets](assets/ngrams.png)",
        "### Divergence",
        f"In bits, between samples of the same amount of text. *Noise floor* is the same figure between two samples of "
        f"{code(reference)}. A difference may be chance up to *noise up to*, which counts the noise of both datasets.",
        _divergences(report),
        "### Variety",
        "Of a sample of equally many words of each dataset.",
        _varieties(variants),
        "Most frequent pairs of words, with their share of all pairs:",
        _bigrams(variants),
    ]
    for number, prior in enumerate(priors, start=1):
        parts += [
            f"## Perplexity by {markdown(prior)}",
            f"*Span* is the share of the central 99 % of the perplexities of {code(reference)} that those of a dataset "
            f"span; *beyond* is the share of its documents above the 95th percentile of {code(reference)}.",
            _perplexities(report, prior),
            f"![Perplexities of documents](assets/perplexity-{number}.png)",
            f"![Probabilities of tokens](assets/probability-{number}.png)",
        ]
    if len(priors) > 1:
        parts += [
            "## Agreement of the priors",
            "Spearman's rank correlation of the perplexities of documents between two priors, over a sample of "
            "documents: 1 where both order them alike.",
            _agreements(variants),
        ]
    parts += ["## Sources", _sources(variants), f"Made by hf-toedit {report['version']}, seed {report['seed']}."]
    return "\n\n".join(parts) + "\n"


def draw_plots(report: dict[str, Any], variants: Sequence[Variant]) -> dict[str, bytes]:
    """Pictures, as PNG, by file name.

    Args:
        report: what `compared` gave.
        variants: what it was given.
    """
    plots: dict[str, Callable[[Figure, Sequence[Variant]], None]] = {"ngrams.png": _draw_ngrams}
    for number, prior in enumerate(variants[0].readings, start=1):
        plots[f"perplexity-{number}.png"] = _for_prior(_draw_perplexities, prior)
        plots[f"probability-{number}.png"] = _for_prior(_draw_probabilities, prior)
    return {name: png(draw, variants) for name, draw in plots.items()}


def _verdicts(report: dict[str, Any]) -> Markdown:
    rows = [
        (code(name), Markdown(f"**{found['verdict']}**"),
         markdown(found["reason"]))
        for name, found in report["comparisons"].items()
    ]  # fmt: skip
    return table(("dataset", "verdict", "why"), rows, left=3)


def _texts(variants: dict[str, Any]) -> Markdown:
    rows = []
    for name, found in variants.items():
        texts = found["texts"]
        middle = texts["word_quantiles"]
        rows.append(
            (
                code(name),
                f"{texts['num_documents']:,}",
                f"{texts['num_words']:,}",
                f"{texts['mean_words']:,.1f}",
                f"{middle['0.1']:,.0f} · {middle['0.5']:,.0f} · {middle['0.9']:,.0f}",
                f"{texts['compression_ratio']:.2f}",
            )
        )
    names = ("dataset", "texts", "words", "words per text", "10 %, median, 90 %", "compression")
    return table(names, rows, left=1)


def _concentrations(variants: dict[str, Any]) -> Markdown:
    rows = []
    for name, found in variants.items():
        for order, figures in found["concentration"].items():
            entropy = f"{figures['entropy_bits']:.2f} of {figures['max_entropy_bits']:.2f}"
            rows.append((code(name), order, percent(figures["top_share"]), f"{figures['gini']:.3f}", entropy))
    return table(("dataset", "n-grams", "in the top 1 % of buckets", "Gini", "entropy in bits"), rows, left=2)


def _divergences(report: dict[str, Any]) -> Markdown:
    rows = []
    for name, found in report["comparisons"].items():
        for order in _ORDERS:
            figures = found["divergence"][order]["figures"]
            for figure, title in _FIGURES.items() if figures else ():
                value, *others = (f"{figures[figure][part]:.3f}" for part in _PARTS)
                rows.append((code(name), order, title, value, f"{others[0]} to {others[1]}", *others[2:]))
    names = ("dataset", "n-grams", "figure", "bits", "95 % interval", "noise floor", "noise up to")
    return table(names, rows, left=3) if rows else Markdown("There is too little text for these figures.")


def _varieties(variants: dict[str, Any]) -> Markdown:
    rows = []
    for name, found in variants.items():
        variety = found["diversity"]
        distinct = " · ".join(f"{share:.3f}" for share in variety["distinct"].values())
        types = variety["growth"][-1][1]
        repeats = percent(variety["repeating_rate"])
        rows.append((code(name), f"{variety['num_words']:,}", f"{types:,}", distinct, repeats))
    return table(("dataset", "words", "distinct words", "distinct-1 to -4", "texts that share a 4-gram"), rows, left=1)


def _bigrams(variants: dict[str, Any]) -> Markdown:
    columns = [found["diversity"]["bigrams"][:_TOP_BIGRAMS] for found in variants.values()]
    rows = [
        tuple(
            Markdown(f"{code(column[rank]['bigram'])} {percent(column[rank]['share'])}") if rank < len(column) else ""
            for column in columns
        )
        for rank in range(max(map(len, columns)))
    ]
    return table(tuple(variants), rows, left=len(columns))


def _perplexities(report: dict[str, Any], prior: str) -> Markdown:
    rows = []
    for name, found in report["variants"].items():
        reading = found["readings"][prior]
        quantiles = " · ".join(f"{reading['perplexity_quantiles'][q]:,.4g}" for q in ("0.05", "0.5", "0.95"))
        cover = report["comparisons"].get(name, {}).get("coverage", {}).get(prior)
        entropy = f"{reading['probability_entropy_bits']:.2f} of {reading['max_probability_entropy_bits']:.2f}"
        span, beyond = (percent(cover[figure]) if cover else "" for figure in ("span", "beyond"))
        rows.append((code(name), f"{reading['perplexity']:,.4g}", quantiles, span, beyond, entropy))
    names = ("dataset", "perplexity", "5 %, median, 95 %", "span", "beyond", "entropy of token probabilities, bits")
    return table(names, rows, left=1)


def _agreements(variants: dict[str, Any]) -> Markdown:
    rows = []
    for name, found in variants.items():
        for pair in found["agreements"]:
            is_known = pair["spearman"] is not None
            figures = (f"{pair['spearman']:.3f}", f"{pair['low']:.3f} to {pair['high']:.3f}") if is_known else ("", "")
            rows.append((code(name), *map(code, pair["priors"]), f"{pair['num_documents']:,}", *figures))
    names = ("dataset", "prior", "and prior", "documents", "rank correlation", "95 % interval")
    return table(names, rows, left=3)


def _sources(variants: dict[str, Any]) -> Markdown:
    rows = [(code(name), code(found["source"]), code(found["revision"])) for name, found in variants.items()]
    return table(("dataset", "source", "revision"), rows, left=3)


def _for_prior(draw: Callable[..., None], prior: str) -> Callable[[Figure, Sequence[Variant]], None]:
    return lambda figure, variants: draw(figure, variants, prior)


def _draw_ngrams(figure: Figure, variants: Sequence[Variant]) -> None:
    """Figure 5 of Zhu et al. 2024: the share of each bucket, the fullest first."""
    for axes, order in zip(figure.subplots(1, 2), ("unigrams", "bigrams"), strict=True):
        for variant, colour in zip(variants, _cycle(len(variants)), strict=True):
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


def _draw_perplexities(figure: Figure, variants: Sequence[Variant], prior: str) -> None:
    """Figure 3: how the perplexities of documents are distributed."""
    from matplotlib.ticker import LogLocator

    axes = figure.subplots()
    found = [variant.readings[prior].perplexity_bins for variant in variants]
    tenths = [np.floor(10 * np.log10([sketch.middle(number) for number in bins])).astype(int) for bins in found]
    first, last = min(map(np.min, tenths)), max(map(np.max, tenths))
    edges = 10 ** (np.arange(first, last + 2) / 10)
    for variant, bins, places, colour in zip(variants, found, tenths, _cycle(len(variants)), strict=True):
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
    """Figure 6 and Table 8: how likely tokens are."""
    axes = figure.subplots()
    width = 0.8 / len(variants)
    for number, (variant, colour) in enumerate(zip(variants, _cycle(len(variants)), strict=True)):
        counts = np.array(variant.readings[prior].probability_histogram, float)
        places = np.arange(len(counts)) + 0.1 + (number + 0.5) * width
        axes.bar(places, counts / counts.sum(), width, color=colour, label=variant.name)
    axes.set_xticks(np.arange(11), [f"{number / 10:g}" for number in range(11)])
    axes.set_xlabel("probability of a token")
    axes.set_ylabel("share of the tokens")
    legend(figure)


def _cycle(count: int) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]
