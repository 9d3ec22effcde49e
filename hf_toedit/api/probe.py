"""Small models trained on each variant of a dataset to test whether it helps, as in `hf-toedit probe`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_toedit.api.probe_models import time_model, train_models
from hf_toedit.api.probing import MODELS, SETTINGS, Probing
from hf_toedit.api.report_folder import as_json, report_folder, write_whole_report
from hf_toedit.checked import checked
from hf_toedit.settings import SourceSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack

WORK = "work"
"""Folder of a report with tokens, checkpoints and results, from which a probe continues."""


class ProbeSettings(SourceSettings, total=False):
    """Keyword arguments of `probe`: the fields of `ProbeConfig`, and the settings of all sources."""

    split: str | None
    model: str | PathLike[str]
    tokenizer: str | PathLike[str]
    num_tokens: int | None
    max_epochs: float
    context: int
    batch_size: int | None
    learning_rates: tuple[float, ...]
    seeds: int
    lora: bool
    drop_contaminated: bool
    keep_models: bool
    report_to: str
    tasks: Sequence[str]
    task_limit: int | None
    task_folder: str | PathLike[str]
    device: str


def probe(
    variants: Mapping[str, str | PathLike[str]],
    evals: Mapping[str, str | PathLike[str]],
    folder: str | PathLike[str],
    *,
    progress: bool = True,
    **settings: Unpack[ProbeSettings],
) -> dict[str, Any]:
    """Train small models on variants of a dataset and score them on held-out text; an interrupted call is continued.

    There is one model per variant, seed and learning rate. For a given seed all models have the same initial weights,
    and read the same number of tokens in an order that follows the same rule. Processes that `accelerate launch` or
    `torchrun` started train each model together.

    Args:
        variants: Names and sources to train on, see `plan`; `RUN:gen2` is a pass of a run folder. The first one is the
            reference.
        evals: Names and sources of held-out text.
        folder: Report folder: `report.md`, `report.html`, `report.json`, `assets/`, and `work/`.
        progress: Show a progress bar.
        **settings: The fields of `ProbeConfig`; and settings of all sources (`split`, `limit`) and their texts
            (`text_column`, `messages_column`, `roles`, …), as in `plan`.

    Returns:
        The content of `report.json`.

    Raises:
        UsageError: There are fewer than two variants, no evaluation set, too few tokens, or a setting is out of range.
        SourceError: A source cannot be found, or has no texts as requested.
        PriorError: The model cannot be found or trained.
        RunError: The folder cannot be written, or contains something else or a probe with other settings.

    Examples:
        >>> probe({"human": "org/web", "edited": "run:gen1"}, {"held-out": "org/books"}, "report")  # doctest: +SKIP
    """
    from hf_toedit.analysis.report import JSON
    from hf_toedit.probes.plots import draw_plots
    from hf_toedit.probes.processes import is_main, main_first
    from hf_toedit.probes.report import TITLE, markdown_report
    from hf_toedit.probes.summary import summary

    target = report_folder(folder, lambda there: (there / WORK / SETTINGS).exists())
    found = Probing.find(variants, evals, settings)
    with main_first():
        found.settle(target / WORK)
        found.tokenize(target / WORK / "tokens")
    results, task_scores = train_models(found, target / WORK / MODELS, progress)
    with main_first():
        if not is_main():
            there: dict[str, Any] = json.loads((target / JSON).read_bytes())
            return there
        report = as_json(summary(found.facts(), results, task_scores))
        write_whole_report(target, report, markdown_report(report), draw_plots(report), TITLE)
    return report


def estimate_probe(
    variants: Mapping[str, str | PathLike[str]],
    evals: Mapping[str, str | PathLike[str]],
    *,
    price_per_hour: float | None = None,
    **settings: Unpack[ProbeSettings],
) -> dict[str, Any]:
    """Estimate the tokens, steps, hours and cost of a probe on this machine; nothing is kept.

    Args:
        variants: See `probe`, as for `evals` and `settings`.
        evals: Names and sources of held-out text.
        price_per_hour: Price of this machine.
        **settings: Settings of the probe and its sources.

    Raises:
        UsageError, SourceError, PriorError: As in `probe`.
    """
    price = None if price_per_hour is None else checked(price_per_hour, float, "price_per_hour")
    found = Probing.find(variants, evals, settings, load_tasks=False)
    with tempfile.TemporaryDirectory() as scratch:
        found.tokenize(Path(scratch))
        facts = found.facts()
        seconds = time_model(found, Path(scratch))
    num_models = len(found.jobs)
    hours = seconds * num_models / 3600
    return {
        **facts["training"],
        "variants": {name: entry["num_tokens"] for name, entry in facts["variants"].items()},
        "models": num_models,
        "tasks": list(found.asked.tasks),
        "hours": hours,
        "cost": None if price is None else hours * price,
    }
