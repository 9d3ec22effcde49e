"""Training of small models for items, by `probe`, and the differences between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.papers.item import Cell, Work

if TYPE_CHECKING:
    from hf_toedit.probes.verdict import Estimate

NEEDS = "hf-toedit[probe]"
TRAINED = " Models of about a million parameters are trained for a few hundred steps, with two seeds."
HELD_OUT = "held-out"
TITLE = "Perplexity on held-out human text"
COLUMNS = ("trained on", "perplexity", "against the first", "95 % interval")


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
        settings: Settings of the item; some of them are the probe's.
        work: Environment of the item.
        folder: Name of the report folder in the item's.
        keep_models: Keep the models' weights.
    """
    from hf_toedit.api.probe import probe

    names = ("model", "context", "seeds", "learning_rates", "num_tokens", "lora", "messages_column")
    how = {name: settings[name] for name in names if name in settings}
    how["learning_rates"] = tuple(how["learning_rates"])
    how |= {"max_epochs": 2.0 if "num_tokens" in how else 1.0, "keep_models": keep_models}
    return probe(variants, {HELD_OUT: held_out}, work.folder / folder, progress=work.progress, **how)


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
            row[2:] = percent(difference["value"]), f"{percent(difference['low'])} to {percent(difference['high'])}"
        rows.append(row)
    return rows, list(found.values())


def interval(difference: Mapping[str, Any]) -> str:
    """Format a difference of log perplexities, with its interval, as a change of perplexity."""
    ends = f"{percent(difference['low'])} to {percent(difference['high'])}"
    return f"{percent(difference['value'])} ({ends})"


def percent(log_ratio: float) -> str:
    """Format a difference of log perplexities as a change of perplexity."""
    return f"{math.expm1(log_ratio):+.1%}"


def model_of(variant: str, settings: Mapping[str, Any], work: Work, folder: str = "probe") -> Path:
    """Return the folder of a model that a probe kept, that of the first seed.

    Args:
        variant: Name of its training data.
        settings: Settings of the item, with one learning rate.
        work: Environment of the item.
        folder: Name of the report folder in the item's.
    """
    return _trained(variant, 0, settings, work, folder) / "model"


def between(first: str, second: str, settings: Mapping[str, Any], work: Work, folder: str = "probe") -> Estimate:
    """Return the difference of log perplexity between two variants of a probe, the second minus the first.

    Args:
        first: Name of a variant.
        second: Name of another one.
        settings: Settings of the item, with one learning rate.
        work: Environment of the item.
        folder: Name of the report folder in the item's.
    """
    from hf_toedit.probes.results import Result
    from hf_toedit.probes.verdict import ALL, estimates

    found: dict[str, list[Any]] = {first: [], second: []}
    for variant, scores in found.items():
        for seed in range(settings["seeds"]):
            result = Result.read(_trained(variant, seed, settings, work, folder) / "result.json")
            assert result is not None
            scores.append(result.scores[HELD_OUT])
    nll = np.stack([other.nll - one.nll for one, other in zip(*found.values(), strict=True)])
    return estimates({HELD_OUT: nll}, {HELD_OUT: found[first][0].num_tokens})[ALL]


def _trained(variant: str, seed: int, settings: Mapping[str, Any], work: Work, folder: str) -> Path:
    """Return the folder of a trained model and its result."""
    from hf_toedit.api.probe import WORK
    from hf_toedit.api.probing import MODELS
    from hf_toedit.probes.results import Job

    [rate] = settings["learning_rates"]
    return work.folder / folder / WORK / MODELS / Job(variant, rate, seed).name
