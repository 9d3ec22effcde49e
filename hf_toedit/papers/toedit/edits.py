"""Tables 8 and 9: token probabilities of a dataset under a prior, and its number of selected tokens by generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_toedit.papers.item import TOEDIT, Cell, Item, Line, Outcome, Plot, Scale, Table, Work

_TABLE_9 = (584_103, 549_519, 517_433)
_TABLE_9_TOKENS = 4_671_834
_TABLE_8 = (34.7, 8.1, 5.4, 4.4, 3.8, 3.6, 3.7, 4.0, 5.2, 27.1)
"""Tokens in % by probability, in bins of 0.1."""

_TINY = {"source": "sample", "prior": "embedded", "threshold": 0.99}


class Table9(Item):
    """Table 9: the decay of selected tokens."""

    paper = TOEDIT
    name = "Table 9"
    latest = "Table 15"
    claim = "The share of tokens that are selected (p >= 0.99) gets smaller from generation to generation."
    minutes = 0.3
    differs = (
        "The paper edits Natural-Instructions (4,671,834 tokens) with Llama-3-8B; here it is the bundled sample with "
        "the embedded prior, a toy."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        if scale == "tiny":
            return {**_TINY, "generations": 3}
        columns = {"text_column": "targets", "context_columns": ["definition", "inputs"]}
        paper = {"source": "Muennighoff/natural-instructions", "prior": "meta-llama/Meta-Llama-3-8B"}
        return {**paper, **columns, "threshold": 0.99, "generations": 3}

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.edits import edit

        how = {name: value for name, value in settings.items() if name != "source"}
        run = edit(settings["source"], work.folder / "run", **work.of_runs, **how)
        found = [run.stats(number) for number in range(1, settings["generations"] + 1)]
        rates = [stats.selected_rate for stats in found]
        paper = [count / _TABLE_9_TOKENS for count in _TABLE_9]
        rows: list[list[Cell]] = [
            [str(number), stats.num_tokens, stats.num_selected, 100 * rate, 100 * theirs, decay, their_decay]
            for number, (stats, rate, theirs, decay, their_decay) in enumerate(
                zip(found, rates, paper, _ratios(rates), _ratios(paper), strict=True), start=1
            )
        ]
        falls = all(later < earlier for earlier, later in zip(rates, rates[1:], strict=False))
        shown = ", ".join(f"{rate:.2%}" for rate in rates)
        columns = ("generation", "tokens", "selected", "selected, %", "paper, %", "eta", "paper's eta")
        x = list(range(1, len(rates) + 1))
        lines = [
            Line("here", x, [100 * rate for rate in rates]),
            Line("paper", x, [100 * rate for rate in paper], style="dashed"),
        ]
        plot = Plot("selected", "Share of selected tokens by generation.", "generation", "selected tokens, %", lines)
        reason = f"the share of selected tokens is {shown} in generations 1 to {len(rates)}."
        return Outcome("yes" if falls else "no", reason, [Table("Selected tokens", columns, rows)], [plot])


class Table8(Item):
    """Table 8 with Figure 6: token probabilities."""

    paper = TOEDIT
    name = "Table 8"
    latest = "Table 6"
    claim = "The probabilities of a dataset's tokens under a prior are U-shaped: most are very low or very high."
    minutes = 0.2
    differs = (
        "The paper reads Dolma with Qwen-0.5B-Instruct or a larger prior; here it is the bundled sample with the "
        "embedded prior, a toy."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        if scale == "tiny":
            return {"source": "sample", "prior": "embedded"}
        return {"source": "allenai/dolma", "prior": "Qwen/Qwen2-0.5B-Instruct"}

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.edits import edit

        how = {"prior": settings["prior"], "select": "none"}
        stats = edit(settings["source"], work.folder / "run", **work.of_runs, **how).stats(1)
        shares = [100 * count / stats.num_scored for count in stats.probability_histogram]
        names = [f"{bin_ / 10:g} to {(bin_ + 1) / 10:g}" for bin_ in range(10)]
        rows: list[list[Cell]] = [[name, own, their] for name, own, their in zip(names, shares, _TABLE_8, strict=True)]
        inner = max(shares[1:-1])
        is_u = shares[0] > inner and shares[-1] > inner
        reason = (
            f"{shares[0]:.1f} % of the tokens have a probability below 0.1 and {shares[-1]:.1f} % one of 0.9 or more; "
            f"no bin in between has more than {inner:.1f} %."
        )
        x = [(bin_ + 0.5) / 10 for bin_ in range(10)]
        lines = [Line("here", x, shares), Line("paper", x, _TABLE_8, style="dashed")]
        plot = Plot("probabilities", "Share of tokens by probability.", "probability p", "tokens, %", lines)
        table = Table("Tokens by probability", ("p", "here, %", "paper, %"), rows)
        return Outcome("yes" if is_u else "no", reason, [table], [plot])


def _ratios(rates: list[float]) -> list[float | None]:
    return [None, *(later / earlier if earlier else None for earlier, later in zip(rates, rates[1:], strict=False))]
