"""The Markdown report of a comparison; its pictures are those of `analysis.plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_toedit.analysis.divergence import NAMES
from hf_toedit.cards.escape import Markdown, code, markdown, percent
from hf_toedit.cards.tables import table
from hf_toedit.place_kinds import KINDS

MARKDOWN, HTML, JSON = "report.md", "report.html", "report.json"
"""Files of a report; its pictures are in `assets/`."""

TITLE = "How these datasets differ"
"""Title of the report."""

_TOP_BIGRAMS = 10
_ORDERS = ("both", "unigrams", "bigrams")
_PARTS = ("value", "low", "high", "noise_floor", "noise_high")


def markdown_report(report: dict[str, Any]) -> str:
    """Return the report in Markdown, for the Hub and the terminal.

    Args:
        report: Output of `compared`.
    """
    reference, variants = report["reference"], report["variants"]
    priors = list(next(iter(variants.values()))["readings"])
    parts = [
        f"# {TITLE}",
        f"Each dataset is compared with {code(reference)}, the reference.{_drawn(report['sampled_rows'])}",
        _verdicts(report),
        "The verdicts are those of Zhu et al. 2024 (arXiv 2412.14689, Eq. 9): *semi-synthetic* data stay within "
        "epsilon of the reference, *pure synthetic* data do not. They say how far the n-grams of texts are from "
        "those of the reference, and not who wrote them; perplexities and edits do not enter them.",
        "## Texts",
        _texts(variants),
        "## n-grams",
        "Words and pairs of words, hashed into 10,000 buckets. The more of them are in few buckets, the less varied "
        "the text is.",
        _concentrations(variants),
        "![Share of the n-grams in the fullest buckets](assets/ngrams.png)",
        "### Similar texts",
        "Of equally many texts of each dataset, hashed 1,000 times into 20,000 buckets: the more two texts have in "
        "common, the more often they share one. *Similarity* is the share of words and pairs of words that two texts "
        "have in common, on average.",
        _similarities(variants),
        "![Share of the texts in the fullest buckets](assets/similarity.png)",
        "### Divergence",
        f"In bits, between samples of the same amount of text. *Noise floor* is the same figure between two samples of "
        f"{code(reference)}. A difference may be chance up to *noise up to*: the mean of this noise and that of the "
        f"dataset, with a margin. It is below the floor for data that vary less than {code(reference)}.",
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
            f"span; *beyond* is the share of its documents above the 95th percentile of {code(reference)}. The "
            "*interval* is for other documents of the same kind: that of an edited dataset can overlap that of its "
            "source, whose documents it shares, although the edits changed the perplexity.",
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
    if report["embedding"]:
        parts += _embedding(report)
    if any(found["edits"] for found in variants.values()):
        parts += _edits(report)
    parts += ["## Sources", _sources(variants), f"Made by hf-toedit {report['version']}, seed {report['seed']}."]
    return "\n\n".join(parts) + "\n"


def _drawn(sampled_rows: int | None) -> str:
    return "" if sampled_rows is None else f" Of each source, {sampled_rows:,} rows were drawn evenly, or all."


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


def _similarities(variants: dict[str, Any]) -> Markdown:
    rows = []
    for name, found in variants.items():
        figures = found["similarity"]
        entropy = f"{figures['entropy_bits']:.2f} of {figures['max_entropy_bits']:.2f}"
        similarity = f"{figures['mean_similarity']:.4f}"
        rows.append((code(name), f"{figures['num_texts']:,}", similarity, f"{figures['gini']:.4f}", entropy))
    return table(("dataset", "texts", "similarity", "Gini", "entropy in bits"), rows, left=1)


def _divergences(report: dict[str, Any]) -> Markdown:
    rows = []
    for name, found in report["comparisons"].items():
        for order in _ORDERS:
            figures = found["divergence"][order]["figures"]
            for figure, title in NAMES.items() if figures else ():
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
        interval = reading["median_perplexity_interval"]
        ends = f"{interval[0]:,.4g} to {interval[1]:,.4g}" if interval else ""
        cover = report["comparisons"].get(name, {}).get("coverage", {}).get(prior)
        entropy = f"{reading['probability_entropy_bits']:.2f} of {reading['max_probability_entropy_bits']:.2f}"
        span, beyond = (percent(cover[figure]) if cover else "" for figure in ("span", "beyond"))
        rows.append((code(name), f"{reading['perplexity']:,.4g}", quantiles, ends, span, beyond, entropy))
    quantiles, ends = "5 %, median, 95 %", "95 % interval of the median"
    names = ("dataset", "perplexity", quantiles, ends, "span", "beyond", "entropy of token probabilities, bits")
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


def _embedding(report: dict[str, Any]) -> list[str]:
    found, reference = report["embedding"], code(report["reference"])
    rows = [
        (code(name), f"{area['value']:.3f}", f"{area['low']:.3f} to {area['high']:.3f}", f"{area['noise_floor']:.3f}",
         f"{area['noise_low']:.3f}")
        for name, area in found["areas"].items()
    ]  # fmt: skip
    return [
        f"## Embeddings by {markdown(found['embedder'])}",
        f"{found['num_documents']:,} documents of each dataset as mean last hidden states. *Area* is that under the "
        f"divergence frontier of their clusters, as of MAUVE (Pillutla et al. 2021): 1 where the clusters have equal "
        f"shares. *Noise floor* is the same between halves of {reference}; an area may be chance down to *noise down "
        "to*.",
        table(("dataset", "area", "95 % interval", "noise floor", "noise down to"), rows, left=1),
        "![Documents by t-SNE, and the shares of their clusters](assets/embeddings.png)",
    ]


def _edits(report: dict[str, Any]) -> list[str]:
    edited = {name: found["edits"] for name, found in report["variants"].items() if found["edits"]}
    parts = [
        "## Edits",
        "What the runs did, generation by generation, over all of their rows. *Eta* is the ratio of the selected share "
        "to that of the generation before.",
        _generations(edited),
    ]
    if any(entry["changed_by_kind"] for entries in edited.values() for entry in entries):
        parts += ["Changed and deleted tokens by kind:", _edit_kinds(edited)]
    if report["overlaps"]:
        parts += [
            "Two runs over one source, by the places where their texts differ from it. A place is *edited by both* if "
            "it has a character of the source in common with a place of the other, and *edited alike* if the same "
            "characters became the same text.",
            _overlaps(report["overlaps"]),
        ]
    return parts


def _generations(edited: dict[str, Any]) -> Markdown:
    rows = [
        (
            code(name),
            entry["generation"],
            f"{entry['num_tokens']:,}",
            *(percent(entry[f"{what}_rate"]) for what in ("selected", "changed", "dropped")),
            "" if entry["eta"] is None else f"{entry['eta']:.3f}",
            percent(entry["characters_unchanged"]),
        )
        for name, entries in edited.items()
        for entry in entries
    ]
    names = ("dataset", "generation", "tokens", "selected", "changed", "deleted", "eta", "characters unchanged")
    return table(names, rows, left=1)


def _edit_kinds(edited: dict[str, Any]) -> Markdown:
    rows = [(name, entry) for name, entries in edited.items() for entry in entries if entry["changed_by_kind"]]
    present = [kind for kind in KINDS if any(kind in entry["changed_by_kind"] for _, entry in rows)]
    cells = [
        (code(name), entry["generation"], *(percent(entry["changed_by_kind"].get(kind, 0.0)) for kind in present))
        for name, entry in rows
    ]
    return table(("dataset", "generation", *(KINDS[kind] for kind in present)), cells, left=1)


def _overlaps(overlaps: Sequence[dict[str, Any]]) -> Markdown:
    rows = [
        (
            *map(code, names),
            f"{found['num_places'][side]:,}",
            percent(found["shared"][side]),
            percent(found["same"][side]),
        )
        for found in overlaps
        for side, names in enumerate((found["datasets"], found["datasets"][::-1]))
    ]
    return table(("dataset", "held against", "places", "edited by both", "edited alike"), rows, left=2)


def _sources(variants: dict[str, Any]) -> Markdown:
    rows = [(code(name), code(found["source"]), code(found["revision"])) for name, found in variants.items()]
    return table(("dataset", "source", "revision"), rows, left=3)
