"""Figures 3, 5 and 12: how synthetic text differs from human text, by `compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_toedit.papers.item import TOEDIT, Cell, Holds, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.toedit.data import DIFFERS, of_the_same_size, settings_of, texts_of

_QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")


class _Compared(Item):
    """An item that compares human and synthetic text."""

    paper = TOEDIT
    minutes = 3
    differs = DIFFERS

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return settings_of(scale)


class Figure3(_Compared):
    """Figure 3, with Figure 9: perplexities of documents."""

    name = "Figure 3"
    claim = (
        "The perplexities of synthetic documents are confined to the lower part of those of human documents: synthetic "
        "text lacks the long tail."
    )

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        report = _compared(settings, work, [settings["prior"]])
        readings = {name: found["readings"][settings["prior"]] for name, found in report["variants"].items()}
        rows: list[list[Cell]] = [
            [name, *(float(found["perplexity_quantiles"][q]) for q in _QUANTILES)] for name, found in readings.items()
        ]
        cover = report["comparisons"]["synthetic"]["coverage"][settings["prior"]]
        human, synthetic = (found["perplexity_quantiles"] for found in readings.values())
        confined = synthetic["0.5"] < human["0.5"] and synthetic["0.95"] < human["0.95"]
        reason = (
            f"the median perplexity is {synthetic['0.5']:.3g} for synthetic and {human['0.5']:.3g} for human "
            f"documents, the 95 % quantile {synthetic['0.95']:.3g} and {human['0.95']:.3g}; {cover['beyond']:.1%} of "
            f"the synthetic documents are above the human 95 % quantile."
        )
        x = [float(q) for q in _QUANTILES]
        lines = [Line(str(row[0]), x, [float(value or 0) for value in row[1:]]) for row in rows]
        plot = Plot("perplexity", "Quantiles of perplexity.", "quantile of documents", "perplexity", lines, y_log=True)
        columns = ("text", *(f"{float(q):.0%}" for q in _QUANTILES))
        table = Table("Quantiles of perplexity", columns, rows)
        return Outcome("yes" if confined else "no", reason, [table], [plot], {"coverage": cover})


class Figure5(_Compared):
    """Figure 5: n-grams in hashed buckets."""

    name = "Figure 5"
    claim = "The n-grams of synthetic text are concentrated on fewer buckets than those of human text."

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        report = _compared(settings, work, [], same_size=True)
        rows: list[list[Cell]] = []
        for name, found in report["variants"].items():
            for order in ("unigrams", "bigrams"):
                figures = found["concentration"][order]
                share, entropy = 100 * figures["top_share"], figures["entropy_bits"]
                rows.append([name, order, found["texts"]["num_words"], share, figures["gini"], entropy])
        human, synthetic = ({row[1]: row for row in rows if row[0] == name} for name in ("human", "synthetic"))
        denser = [order for order in human if float(synthetic[order][3] or 0) > float(human[order][3] or 0)]
        reason = "; ".join(
            f"the fullest 1 % of the buckets hold {synthetic[order][3]:.1f} % of the synthetic {order} and "
            f"{human[order][3]:.1f} % of the human ones"
            for order in human
        )
        columns = ("text", "n-grams", "words", "in the fullest 1 %, %", "Gini", "entropy, bits")
        holds: Holds = "yes" if len(denser) == len(human) else "no" if not denser else "not decided"
        table = Table("Concentration", columns, rows, labels=2)
        return Outcome(holds, f"{reason}.", [table])


class Figure12(_Compared):
    """Figure 12: texts in buckets of locality-sensitive hashes."""

    name = "Figure 12"
    claim = "Synthetic texts are more like each other than human texts are."

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        report = _compared(settings, work, [], same_size=True)
        found = {name: variant["similarity"] for name, variant in report["variants"].items()}
        rows: list[list[Cell]] = [
            [name, one["num_texts"], one["mean_similarity"], one["gini"], one["entropy_bits"]]
            for name, one in found.items()
        ]
        human, synthetic = (found[name]["mean_similarity"] for name in ("human", "synthetic"))
        reason = (
            f"two synthetic texts have {synthetic:.2%} of their words and pairs of words in common on average, two "
            f"human ones {human:.2%}."
        )
        columns = ("text", "texts", "mean similarity", "Gini", "entropy, bits")
        holds: Holds = "yes" if synthetic > human else "no"
        return Outcome(holds, reason, [Table("Similarity of texts", columns, rows)])


def _compared(settings: Mapping[str, Any], work: Work, priors: list[str], same_size: bool = False) -> dict[str, Any]:
    from hf_toedit.api.compare import compare

    data = texts_of(settings, work)
    variants = {"human": data.human, "synthetic": data.synthetic}
    if same_size and settings["synthetic"] is None:
        variants = of_the_same_size(variants, work.folder)
    folder = work.folder / ("compared" if priors else "counted")
    return compare(variants, folder, priors=priors, seed=work.seed, progress=work.progress)
