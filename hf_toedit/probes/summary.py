"""The figures of a report, from the results of all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from hf_toedit.errors import RunError
from hf_toedit.probes.results import Job, Result
from hf_toedit.probes.task_scores import TaskScores, compared
from hf_toedit.probes.verdict import ALL, Word, agreement, estimates
from hf_toedit.version import __version__


def summary(
    facts: Mapping[str, Any], results: Mapping[Job, Result], task_scores: Mapping[Job, TaskScores] | None = None
) -> dict[str, Any]:
    """Return the content of `report.json`.

    Args:
        facts: Facts of the setup: `model`, `training`, `variants` (the first is the reference) and `evals`; and
            `tasks`, the names of tasks.
        results: Results of all models.
        task_scores: Their scores on tasks.

    Raises:
        RunError: Results are for different evaluation text.
    """
    variants, rates = list(facts["variants"]), facts["training"]["learning_rates"]
    reference, *others = variants
    num_tokens = _num_tokens(results)
    nll = {
        (variant, rate): {
            name: np.stack([result.scores[name].nll for job, result in results.items() if job[:2] == (variant, rate)])
            for name in num_tokens
        }
        for variant in variants
        for rate in rates
    }
    num_comparisons = max(1, len(others) * len(rates))
    comparisons = {}
    for variant in others:
        found = {
            rate: estimates(
                {name: nll[variant, rate][name] - nll[reference, rate][name] for name in num_tokens},
                num_tokens,
                num_comparisons,
            )
            for rate in rates
        }
        words: dict[float, Word] = {rate: by_set[ALL].word for rate, by_set in found.items()}
        adjusted: dict[float, Word] = {rate: by_set[ALL].word_adjusted for rate, by_set in found.items()}
        comparisons[variant] = {
            "verdict": agreement(words),
            "verdict_adjusted": agreement(adjusted),
            "learning_rates_agree": len(set(words.values())) == 1,
            "differences": {
                f"{rate:g}": {name: estimate.to_json() for name, estimate in by_set.items()}
                for rate, by_set in found.items()
            },
        }
    tasks = {}
    if task_scores:
        found_tasks = compared(task_scores, facts["tasks"]["names"], variants, rates)
        tasks = {"tasks": {**facts["tasks"], "lm_eval": version("lm-eval"), "results": found_tasks}}
    return {
        "version": __version__,
        "libraries": {name: version(name) for name in ("torch", "transformers", "accelerate")},
        "reference": reference,
        **facts,
        "num_comparisons": num_comparisons,
        "perplexity": {
            variant: {f"{rate:g}": _perplexities(nll[variant, rate], num_tokens) for rate in rates}
            for variant in variants
        },
        "comparisons": comparisons,
        **tasks,
        "losses": {
            variant: {
                f"{rate:g}": _mean_losses(
                    [found.losses for job, found in results.items() if job[:2] == (variant, rate)]
                )
                for rate in rates
            }
            for variant in variants
        },
    }


def _num_tokens(results: Mapping[Job, Result]) -> dict[str, np.ndarray]:
    """Return the number of tokens of each document of each evaluation set, which must be the same for all models."""
    first, *others = results.values()
    found = {name: scores.num_tokens for name, scores in first.scores.items()}
    for other in others:
        for name, counts in found.items():
            if not np.array_equal(counts, other.scores[name].num_tokens):
                raise RunError("the results in work/ are not all of the same evaluation text. Name a new folder.")
    return found


def _perplexities(nll: Mapping[str, np.ndarray], num_tokens: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        name: {
            "value": float(np.exp(found.value)),
            "low": float(np.exp(found.low)),
            "high": float(np.exp(found.high)),
        }
        for name, found in estimates(nll, num_tokens).items()
    }


def _mean_losses(curves: Sequence[Sequence[tuple[int, float]]]) -> list[list[float]]:
    """Return `[step, mean loss over seeds]`; all trainings log at the same steps."""
    return [[step, float(np.mean([loss for _, loss in points]))] for points in zip(*curves, strict=True)
            for step in {step for step, _ in points}]  # fmt: skip
