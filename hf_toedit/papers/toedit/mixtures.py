"""Figure 2: models trained on mixtures of human and synthetic text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_toedit.papers.item import TOEDIT, Holds, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.toedit.data import DIFFERS, settings_of, texts_of
from hf_toedit.papers.toedit.training import COLUMNS, NEEDS, TITLE, TRAINED, differences, probed

_PAPER = {0.0: 22.59, 0.25: 23.91, 0.5: 25.09, 0.75: 28.64, 1.0: 47.87}
"""Table 1: perplexity by share of synthetic text, as the mean over 22 parts of the Pile."""


class Figure2(Item):
    """Figure 2, with Table 1: models trained on mixtures of human and synthetic text."""

    paper = TOEDIT
    name = "Figure 2"
    claim = "The more of the training text is synthetic, the higher the perplexity on human text."
    needs = NEEDS
    minutes = 10
    differs = DIFFERS + TRAINED

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        if scale == "tiny":
            training = {"model": "tiny", "context": 128, "seeds": 2, "learning_rates": [0.003], "num_tokens": 25_000}
        else:
            training = {
                "model": "gpt2",
                "context": 1024,
                "seeds": 2,
                "learning_rates": [6e-4],
                "num_tokens": 50 * 10**9,
            }
        return settings_of(scale, synthetic_shares=list(_PAPER), **training)

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.mix import mix

        data = texts_of(settings, work)
        variants = {}
        for share in settings["synthetic_shares"]:
            shares = {"human": (data.human, 1 - share), "synthetic": (data.synthetic, share)}
            parts = {name: part for name, part in shares.items() if part[1] > 0}
            if len(parts) == 1:
                [(variants[_name(share)], _)] = parts.values()
                continue
            run = mix(parts, work.folder / "mixtures" / _name(share), **work.of_runs)
            variants[_name(share)] = str(run.path)
        report = probed(variants, data.held_out, settings, work)
        rows, against = differences(report)
        theirs = [_PAPER.get(share) for share in settings["synthetic_shares"]]
        rising = [float(row[1] or 0) for row in rows]
        last = against[-1]
        falls = any(later < earlier for earlier, later in zip(rising, rising[1:], strict=False))
        holds: Holds = "yes" if last["low"] > 0 and not falls else "no" if last["high"] < 0 else "not decided"
        reason = (
            f"the perplexity on held-out human text is {', '.join(f'{value:.1f}' for value in rising)} with "
            f"{', '.join(f'{share:.0%}' for share in settings['synthetic_shares'])} synthetic text."
        )
        shares_in_percent = [100 * share for share in settings["synthetic_shares"]]
        plot = Plot(
            "perplexity", "Perplexity on human text by the share of synthetic text.", "synthetic text, %", "perplexity",
            [Line("held-out human text", shares_in_percent, rising),
             Line("paper, the Pile", [100 * share for share in _PAPER], list(_PAPER.values()), style="dashed")],
            y_log=True,
        )  # fmt: skip
        beside = [[*row, their] for row, their in zip(rows, theirs, strict=True)]
        table = Table(TITLE, (*COLUMNS, "paper"), beside)
        return Outcome(holds, reason, [table], [plot], {"probe": report["comparisons"]})


def _name(share: float) -> str:
    return f"synthetic-{100 * share:.0f}"
