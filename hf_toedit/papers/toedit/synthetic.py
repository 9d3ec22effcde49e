"""Figures 3, 5 and 10 to 12: how synthetic text differs from human text, by `compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_toedit.papers.item import TOEDIT, Cell, Holds, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.toedit.data import DIFFERS, Data, of_the_same_size, settings_of, texts_of
from hf_toedit.papers.toedit.training import NEEDS, model_of, probed

_QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")
_REPORT = "compared"
_MOST = 0.9
"""Share of the n-grams that is found in few buckets, or in many."""


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

    def prior(self, settings: Mapping[str, Any], data: Data, work: Work) -> str:
        """Return the prior that reads the documents."""
        return str(settings["prior"])

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.named import shown_priors

        data = texts_of(settings, work)
        prior = self.prior(settings, data, work)
        report = _compared(data, settings, work, [prior])
        shown = shown_priors([prior])[prior]
        readings = {name: found["readings"][shown] for name, found in report["variants"].items()}
        rows: list[list[Cell]] = [
            [name, *(float(found["perplexity_quantiles"][q]) for q in _QUANTILES)] for name, found in readings.items()
        ]
        cover = report["comparisons"]["synthetic"]["coverage"][shown]
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
        columns = ("text", *(f"{float(q):.0%}" for q in _QUANTILES), "paper, range")
        ranges = {"human": "0 to over 100", "synthetic": "0 to 14"}
        table = Table("Quantiles of perplexity", columns, [[*row, ranges[str(row[0])]] for row in rows])
        return Outcome("yes" if confined else "no", reason, [table], [plot], {"coverage": cover})


class Figure10(Figure3):
    """Figure 10 of version 3: Figure 3 with another prior."""

    name = "Figure 10"
    claim = (
        "With another prior as well, the perplexities of synthetic documents are confined to the lower part of those "
        "of human documents."
    )
    needs = NEEDS
    minutes = 4
    differs = (
        "The paper reads Dolma and Cosmopedia with StableLM-Zephyr-3B instead of Llama-3-8B. Here the human text are "
        "50 documents of the bundled sample, and the synthetic text are continuations by the embedded prior, a toy, "
        "with up to 320 tokens of the first 32 tokens of each. No second prior is bundled: a model of about a million "
        "parameters is trained for this on the other 20 documents of the sample, and has the tokens of the embedded "
        "prior, but none of its weights. So small a model tells words that it knows from others, and little else."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`; a prior is trained if `other_prior` is None."""
        if scale == "paper":
            return settings_of(scale, other_prior="stabilityai/stablelm-zephyr-3b")
        training = {"model": "tiny", "context": 128, "seeds": 2, "learning_rates": [0.003], "num_tokens": 12_000}
        return settings_of(scale, max_new_tokens=320, other_prior=None, **training)

    def prior(self, settings: Mapping[str, Any], data: Data, work: Work) -> str:
        """See `Figure3.prior`; the model is trained on text that is not compared."""
        if settings["other_prior"]:
            return str(settings["other_prior"])
        variants = {"held-out": data.held_out, "synthetic": data.synthetic}
        probed(variants, data.human, settings, work, "prior", keep_models=True)
        return str(model_of("held-out", settings, work, "prior"))


class Figure5(_Compared):
    """Figure 5: n-grams in hashed buckets."""

    name = "Figure 5"
    claim = "The n-grams of synthetic text are concentrated on fewer buckets than those of human text."

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        report = _compared(texts_of(settings, work), settings, work, [], same_size=True)
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


class Figure11(_Compared):
    """Figure 11 of version 3: the share of each bucket of n-grams."""

    name = "Figure 11"
    claim = "Human text has n-grams in many buckets, and synthetic text most of its n-grams in few."
    differs = (
        "The paper compares Dolma and Cosmopedia. Here the human text are 50 documents of the bundled sample, and the "
        "synthetic text are continuations by the embedded prior, a toy, with up to 320 tokens of the first 32 tokens "
        "of each. Both are cut to the same number of words, on which the number of buckets depends. The paper draws "
        "this, and gives no numbers."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return settings_of(scale, max_new_tokens=320) if scale == "tiny" else settings_of(scale)

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        report = _compared(texts_of(settings, work), settings, work, [], same_size=True)
        rows: list[list[Cell]] = []
        plots: list[Plot] = []
        fewer: list[bool] = []
        reasons = []
        for order in ("unigrams", "bigrams"):
            shares = {name: _shares(work, name, order) for name in report["variants"]}
            needed = {name: int(np.searchsorted(np.cumsum(found), _MOST)) + 1 for name, found in shares.items()}
            for name, found in shares.items():
                words = report["variants"][name]["texts"]["num_words"]
                rows.append([name, order, words, len(found), needed[name], 100 * float(found[0])])
            fewer.append(needed["synthetic"] < needed["human"])
            reasons.append(f"{needed['synthetic']:,} buckets for synthetic and {needed['human']:,} for human {order}")
            lines = [Line(name, range(1, len(found) + 1), found.tolist()) for name, found in shares.items()]
            words_of_plot = f"Share of the {order} in each bucket, the fullest first."
            label = f"share of the {order}"
            plots.append(Plot(order, words_of_plot, "bucket, the fullest first", label, lines, x_log=True, y_log=True))
        holds: Holds = "yes" if all(fewer) else "no" if not any(fewer) else "not decided"
        columns = ("text", "n-grams", "words", "buckets with any", f"buckets with {_MOST:.0%}", "in the fullest, %")
        reason = f"{_MOST:.0%} of the n-grams are in {', in '.join(reasons)}."
        return Outcome(holds, reason, [Table("Buckets", columns, rows, labels=2)], plots)


class Figure12(_Compared):
    """Figure 12: texts in buckets of locality-sensitive hashes."""

    name = "Figure 12"
    latest = "Figure 14"
    claim = "Synthetic texts are more like each other than human texts are."

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        report = _compared(texts_of(settings, work), settings, work, [], same_size=True)
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


def _compared(
    data: Data, settings: Mapping[str, Any], work: Work, priors: list[str], same_size: bool = False
) -> dict[str, Any]:
    from hf_toedit.api.compare import compare

    variants = {"human": data.human, "synthetic": data.synthetic}
    if same_size and settings["synthetic"] is None:
        variants = of_the_same_size(variants, work.folder)
    return compare(variants, work.folder / _REPORT, priors=priors, **work.of_runs)


def _shares(work: Work, name: str, order: str) -> np.ndarray:
    """Return the share of the n-grams of a compared variant in each bucket that has any, fullest first; `[buckets]`."""
    from hf_toedit.api.compare import measured_run

    counts = getattr(measured_run(work.folder / _REPORT, name).stats().ngrams, order).sum(axis=0)
    counts = np.sort(counts[counts > 0])[::-1]
    return np.asarray(counts / counts.sum())
