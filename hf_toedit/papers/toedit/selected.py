"""Figure 4: models trained on selections from synthetic text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_toedit.papers.item import TOEDIT, Holds, Item, Outcome, Scale, Table, Work
from hf_toedit.papers.toedit.data import settings_of, texts_of
from hf_toedit.papers.toedit.training import COLUMNS, NEEDS, TITLE, differences, interval, probed

_HUMAN, _SYNTHETIC = "human", "synthetic"
_PAPER = {
    _HUMAN: (187.36, 123.88),
    _SYNTHETIC: (1605.73, 410.19),
    "dsir": (1757.03, 404.63),
    "perplexity": (1193.25, 367.44),
    "density": (1753.89, 457.71),
    "classifier": (1612.95, 487.97),
}
"""Table 14: perplexity on Wikitext-103 and on c4-en of OLMo-237M after 8.4 billion tokens."""


class Figure4(Item):
    """Figure 4A, with Table 14 of version 3: selection does not repair synthetic text."""

    paper = TOEDIT
    name = "Figure 4"
    claim = (
        "Models that are trained on documents selected from synthetic text, by DSIR, perplexity, density or a "
        "classifier, stay worse on human text than models that are trained on human text."
    )
    needs = NEEDS
    minutes = 4
    differs = (
        "The paper selects from 10 million documents of Cosmopedia, with Dolma as human text, for OLMo-237M. Here the "
        "human text is the bundled sample, and the synthetic text are two continuations of 128 tokens of the first 32 "
        "tokens of each of 50 documents by the embedded prior, a toy. Half of these are selected, without a "
        "classifier; all models read as many tokens, so that they read a selection about twice. Models have about a "
        "million parameters, with two seeds. The embeddings of Figure 4B are not drawn."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`; there is a classifier if `classifier` names one."""
        if scale == "tiny":
            writing = {"num_candidates": 2, "max_new_tokens": 128}
            training = {"model": "tiny", "context": 128, "learning_rates": [0.003], "num_tokens": 8_000}
            return settings_of(scale, **writing, **training, seeds=2, rate=0.5, classifier="")
        training = {"model": "gpt2", "context": 1024, "learning_rates": [6e-4], "num_tokens": 8_400_000_000}
        return settings_of(scale, **training, seeds=2, rate=0.5, classifier="HuggingFaceFW/fineweb-edu-classifier")

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.select import select

        data = texts_of(settings, work)
        selections: dict[str, dict[str, Any]] = {
            "dsir": {"target": data.human},
            "perplexity": {"prior": settings["prior"]},
            "density": {},
        }
        if settings["classifier"]:
            selections["classifier"] = {"model": settings["classifier"]}
        variants = {_HUMAN: data.human, _SYNTHETIC: data.synthetic}
        for by, how in selections.items():
            run = select(
                data.synthetic, work.folder / "selected" / by, by=by, rate=settings["rate"], **work.of_runs, **how
            )
            variants[by] = str(run.path)
        report = probed(variants, data.held_out, settings, work)
        rows, (all_synthetic, *found) = differences(report)
        selected = dict(zip(selections, found, strict=True))
        holds: Holds = "not decided"
        if all(difference["low"] > 0 for difference in selected.values()):
            holds = "yes"
        elif any(difference["high"] < 0 for difference in selected.values()):
            holds = "no"
        against = ", ".join(f"{by} {interval(one)}" for by, one in {"all of it": all_synthetic, **selected}.items())
        reason = f"against human text, perplexity on held-out human text is with synthetic text: {against}."
        columns = (*COLUMNS, "paper, Wikitext-103", "paper, c4-en")
        table = Table(TITLE, columns, [[*row, *_PAPER[str(row[0])]] for row in rows])
        return Outcome(holds, reason, [table], (), {"probe": report["comparisons"]})
