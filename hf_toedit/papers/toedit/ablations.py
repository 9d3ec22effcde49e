"""Tables 5 to 7: models trained on text that was edited with other settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar

from hf_toedit.papers.item import TOEDIT, Cell, Holds, Item, Outcome, Scale, Table, Work
from hf_toedit.papers.toedit.data import settings_of, texts_of
from hf_toedit.papers.toedit.training import COLUMNS, NEEDS, TITLE, between, differences, interval, percent, probed

_SOURCE = "source"

_COMPARABLE = 0.05
"""Largest difference of log perplexity between settings that are comparable; an interval that contains 0 shows none."""


class _Ablation(Item):
    """An item that edits a text with several settings, and trains on each result and on the source.

    Attributes:
        edits: Settings of the edits, by name.
        theirs: The paper's numbers in %, in the order of `edits`.
        tasks: Tasks of the paper's numbers.
    """

    paper = TOEDIT
    needs = NEEDS
    minutes = 3
    differs = (
        "The paper trains OLMo-1B further on biomedical text edited by Llama-3-8B, and reports tasks. Here models of a "
        "million parameters are trained from scratch on the bundled sample edited by the embedded prior, a toy, with "
        "two seeds, and perplexity is reported."
    )
    edits: ClassVar[Mapping[str, Mapping[str, Any]]]
    theirs: ClassVar[Sequence[Sequence[float]]]
    tasks: ClassVar[tuple[str, ...]]

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        if scale == "tiny":
            rates = {"seeds": 2, "learning_rates": [0.003]}
            training = {"model": "tiny", "context": 128, **rates, "num_tokens": 12_000}
        else:
            training = {"model": "allenai/OLMo-1B-hf", "context": 2048, "seeds": 2, "learning_rates": [2e-5]}
        return settings_of(scale, edits={name: dict(how) for name, how in self.edits.items()}, **training)

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.edits import edit

        data = texts_of({**settings, "synthetic": "none"}, work)
        runs = {
            name: edit(data.human, work.folder / "edited" / name, prior=settings["prior"], **work.of_runs, **how)
            for name, how in settings["edits"].items()
        }
        changed = {name: 100 * run.stats(1).changed_rate for name, run in runs.items()}
        variants = {_SOURCE: data.human, **{name: str(run.path) for name, run in runs.items()}}
        report = probed(variants, data.held_out, settings, work)
        of_paper = dict(zip(self.edits, self.theirs, strict=True))
        none: list[Cell] = [None] * len(self.tasks)
        rows = [[*row, changed.get(str(row[0])), *of_paper.get(str(row[0]), none)] for row in differences(report)[0]]
        pairs = {pair: between(*pair, settings, work).to_json() for pair in combinations(settings["edits"], 2)}
        holds, reason = self.judged(pairs)
        columns = (*COLUMNS, "changed, %", *(f"paper: {task}, %" for task in self.tasks))
        between_rows: list[list[Cell]] = [
            [" and ".join(pair), percent(one["value"]), f"{percent(one['low'])} to {percent(one['high'])}"]
            for pair, one in pairs.items()
        ]
        tables = [
            Table(TITLE, columns, rows),
            Table("The second against the first", ("settings", "perplexity", "95 % interval"), between_rows),
        ]
        figures = {"pairs": {" and ".join(pair): one for pair, one in pairs.items()}, "probe": report["comparisons"]}
        return Outcome(holds, reason, tables, (), figures)

    def judged(self, pairs: Mapping[tuple[str, str], Mapping[str, Any]]) -> tuple[Holds, str]:
        """Return whether settings are comparable, and why.

        Args:
            pairs: Differences of log perplexity, the second setting minus the first.
        """
        shown = "; ".join(f"{' and '.join(pair)} {interval(one)}" for pair, one in pairs.items())
        reason = f"settings are comparable if the interval is within {_COMPARABLE:.0%}: {shown}."
        if all(-_COMPARABLE < one["low"] and one["high"] < _COMPARABLE for one in pairs.values()):
            return "yes", reason
        is_apart = any(one["low"] > _COMPARABLE or one["high"] < -_COMPARABLE for one in pairs.values())
        return "no" if is_apart else "not decided", reason


class Table5(_Ablation):
    """Table 5: samplers."""

    name = "Table 5"
    latest = "Table 7"
    claim = "Edits by top-k, by top-p and by rejection sampling make models that are comparable."
    edits = {
        "top-k": {"sampler": "top-k", "top_k": 8},
        "top-p": {"sampler": "top-p", "top_p": 0.99},
        "rejection": {"sampler": "rejection"},
    }
    tasks = ("PubMedQA", "MedMCQA", "MedQA")
    theirs = ((64.50, 26.13, 24.82), (63.80, 27.11, 25.61), (64.50, 28.90, 28.20))


class Table6(_Ablation):
    """Table 6: number of candidates."""

    name = "Table 6"
    latest = "Table 8"
    claim = "More candidates, 64 instead of 8, change little: models are comparable."
    edits = {"k-8": {"top_k": 8}, "k-64": {"top_k": 64}}
    tasks = ("PubMedQA", "MedMCQA", "MedQA")
    theirs = ((64.50, 26.13, 24.82), (63.80, 28.14, 27.34))


_UNLIKELY, _LIKELY = "below-0.1", "above-0.99"


class Table7(_Ablation):
    """Table 7: which tokens are resampled."""

    name = "Table 7"
    latest = "Table 5"
    claim = "Edits of unlikely tokens (p <= 0.1) make worse models than edits of likely ones (p >= 0.99)."
    minutes = 5
    edits = {
        _LIKELY: {"threshold": 0.99},
        "above-0.999": {"threshold": 0.999},
        _UNLIKELY: {"select": "below", "threshold": 0.1},
        "below-0.01": {"select": "below", "threshold": 0.01},
    }
    tasks = ("average of 5 tasks",)
    theirs = ((38.69,), (38.48,), (35.72,), (37.46,))

    def judged(self, pairs: Mapping[tuple[str, str], Mapping[str, Any]]) -> tuple[Holds, str]:
        """See `_Ablation.judged`; the claim is about one pair."""
        one = pairs[_LIKELY, _UNLIKELY]
        reason = f"the perplexity with p <= 0.1 against that with p >= 0.99 is {interval(one)}."
        return "yes" if one["low"] > 0 else "no" if one["high"] < 0 else "not decided", reason
