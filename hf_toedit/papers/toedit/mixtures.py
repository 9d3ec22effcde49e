"""Figure 2 and Tables 2 to 4: models trained on human, synthetic and edited text, by `probe`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from hf_toedit.papers.item import TOEDIT, Cell, Holds, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.toedit.data import DIFFERS, settings_of, texts_of

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
NEEDS = "hf-toedit[probe]"
TRAINED = " Models of about a million parameters are trained for a few hundred steps, with two seeds."


class Figure2(Item):
    """Figure 2, with Table 1: models trained on mixtures of human and synthetic text."""

    paper = TOEDIT
    name = "Figure 2"
    claim = "The more of the training text is synthetic, the higher the perplexity on human text."
    needs = NEEDS
    minutes = 6
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
        return settings_of(scale, synthetic_shares=list(_SHARES), **training)

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
            run = mix(parts, work.folder / "mixtures" / _name(share), seed=work.seed, progress=work.progress)
            variants[_name(share)] = str(run.path)
        report = probed(variants, data.held_out, settings, work)
        rows, against = differences(report)
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
            [Line("held-out human text", shares_in_percent, rising)],
        )  # fmt: skip
        table = Table("Perplexity on held-out human text", _COLUMNS, rows)
        return Outcome(holds, reason, [table], [plot], {"probe": report["comparisons"]})


class _Edited(Item):
    """An item that trains on edited text and on its source."""

    paper = TOEDIT
    needs = NEEDS
    minutes = 3
    claim = "Models that are trained on text edited by ToEdit are better than those that are trained on its source."
    training: ClassVar[Mapping[Scale, Mapping[str, Any]]]

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return {**settings_of(scale), **self.training[scale]}

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.edits import edit

        data = texts_of({**settings, "synthetic": "none"}, work)
        folder = work.folder / "edited"
        run = edit(data.human, folder, prior=settings["prior"], seed=work.seed, progress=work.progress)
        report = probed({"source": data.human, "edited": str(run.path)}, data.held_out, settings, work)
        rows, [difference] = differences(report)
        changed = run.stats(1).changed_rate
        reason = (
            f"the edit changed {changed:.2%} of the tokens; perplexity on held-out text against that of the source is "
            f"{_percent(difference['value'])} ({_percent(difference['low'])} to {_percent(difference['high'])})."
        )
        holds: Holds = "yes" if difference["high"] < 0 else "no" if difference["low"] > 0 else "not decided"
        table = Table("Perplexity on held-out human text", _COLUMNS, rows)
        return Outcome(holds, reason, [table], (), {"changed_rate": changed, "probe": report["comparisons"]})


class Table2(_Edited):
    """Table 2: continual pre-training."""

    name = "Table 2"
    differs = (
        "The paper trains OLMo-1B and Llama-3-8B further on biomedical, financial and mathematical text, and reports "
        "tasks. Here the embedded prior, a toy, is trained further on the bundled sample, and perplexity is reported."
    )
    training = {
        "tiny": {"model": "embedded", "context": 128, "seeds": 2, "learning_rates": [1e-4]},
        "paper": {"model": "allenai/OLMo-1B-hf", "context": 2048, "seeds": 2, "learning_rates": [2e-5]},
    }


class Table3(_Edited):
    """Table 3: pre-training from scratch."""

    name = "Table 3"
    differs = (
        "The paper trains OLMo-1B on text edited by Llama-3-8B, and reports tasks. Here a model of a million "
        "parameters is trained on the bundled sample edited by the embedded prior, a toy, and perplexity is reported."
    )
    training = {
        "tiny": {"model": "tiny", "context": 128, "seeds": 2, "learning_rates": [0.003]},
        "paper": {"model": "gpt2", "context": 1024, "seeds": 2, "learning_rates": [6e-4]},
    }


_COLUMNS = ("trained on", "perplexity", "against the first", "95 % interval")


def probed(
    variants: Mapping[str, str],
    held_out: str,
    settings: Mapping[str, Any],
    work: Work,
    folder: str = "probe",
    keep_models: bool = False,
) -> dict[str, Any]:
    """Run a probe for an item and return its report.

    Args:
        variants: Training data by name; the first is the reference.
        held_out: Evaluation data.
        settings: Settings of the item; those that are fields of `ProbeConfig` are the probe's.
        work: Environment of the item.
        folder: Name of the report folder in the item's.
        keep_models: Keep the models' weights.
    """
    from hf_toedit.api.probe import probe

    names = ("model", "context", "seeds", "learning_rates", "num_tokens")
    how = {name: settings[name] for name in names if name in settings}
    how["learning_rates"] = tuple(how["learning_rates"])
    how |= {"max_epochs": 2.0, "keep_models": keep_models}
    return probe(variants, {"held-out": held_out}, work.folder / folder, progress=work.progress, **how)


def differences(report: Mapping[str, Any]) -> tuple[list[list[Cell]], list[Mapping[str, Any]]]:
    """Return rows of a table of perplexities, and the differences of all variants but the first.

    Args:
        report: Report of a probe with one learning rate.
    """
    [rate] = (f"{rate:g}" for rate in report["training"]["learning_rates"])
    found = {name: entry["differences"][rate]["all"] for name, entry in report["comparisons"].items()}
    rows: list[list[Cell]] = []
    for name, perplexity in report["perplexity"].items():
        row: list[Cell] = [name, float(perplexity[rate]["all"]["value"]), None, None]
        if difference := found.get(name):
            row[2:] = _percent(difference["value"]), f"{_percent(difference['low'])} to {_percent(difference['high'])}"
        rows.append(row)
    return rows, list(found.values())


def _percent(log_ratio: float) -> str:
    return f"{math.expm1(log_ratio):+.1%}"


def _name(share: float) -> str:
    return f"synthetic-{100 * share:.0f}"
