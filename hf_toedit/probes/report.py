"""The Markdown report of a probe; its pictures are those of `probes.plots`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hf_toedit.cards.escape import Markdown, code, markdown, percent
from hf_toedit.cards.tables import table
from hf_toedit.probes.contamination import ORDER
from hf_toedit.probes.task_scores import markdown_tasks
from hf_toedit.probes.verdict import ALL

TITLE = "Does training on these datasets help?"
"""Title of the report."""

_MEAN = "all sets"
"""Name of the mean over sets in tables."""

_LEAST_SHOWN = 5e-5
"""Smaller differences would be printed as 0.00%; those of equal models are exactly 0."""


def markdown_report(report: dict[str, Any]) -> str:
    """Return the report in Markdown, for the Hub and the terminal.

    Args:
        report: Output of `summary`.
    """
    training = report["training"]
    seeds, several = training["seeds"], len(report["evals"]) > 1
    parts = [
        f"# {TITLE}",
        f"One {_model(report['model'])} per dataset, learning rate and seed is trained on {training['num_tokens']:,} "
        f"tokens and scored on held-out text. Each dataset is compared with {code(report['reference'])}, the "
        "reference.",
        _verdicts(report),
        _note(report),
        "![Differences to the reference](assets/differences.png)",
        "## Differences",
        "In perplexity, relative to the reference: below 0 is better. Models are paired by seed, and held-out "
        f"documents by themselves. {interval_note(seeds, report['evals'])} *{_MEAN}* is the mean of the log "
        "perplexities of the sets, each counted once."
        + (" The verdicts above are of all sets; those of single sets are not corrected." if several else ""),
        _differences(report),
        "## Perplexity",
        "On held-out text; the geometric mean over seeds, and its 95 % interval. These intervals are mostly wider than "
        "those of the differences, since documents differ more from each other than models do.",
        _perplexities(report),
        markdown_tasks(report["tasks"], report["reference"]) if "tasks" in report else "",
        "## Training",
        "![Training loss](assets/losses.png)",
        _training(report),
        _variants(report),
        "## Held-out text",
        _evals(report),
        "### Contamination",
        f"Held-out documents that have {ORDER} words in a row in common with a dataset, and documents of the dataset "
        "that have some in common with the held-out text. Shorter documents cannot be checked."
        + (" The latter were left out of the training." if training["drop_contaminated"] else ""),
        _contamination(report),
        "## Sources",
        _sources(report),
        f"Made by hf-toedit {report['version']} with "
        + ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
        + ".",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def relative(difference: float) -> str:
    """Format a difference of log perplexities as a relative change of the perplexity."""
    return f"{math.expm1(difference):+.2%}"


def verdict_line(name: str, found: Mapping[str, Any]) -> str:
    """Return the verdict on a variant in one sentence.

    Args:
        name: Name of the variant.
        found: Its entry of `comparisons`.
    """
    return f"{name}: {found['verdict']} ({_sizes(found)})"


def _sizes(found: Mapping[str, Any]) -> str:
    """Return the difference at each learning rate, and the smallest detectable one."""
    parts = []
    for rate, by_set in found["differences"].items():
        entry = by_set[ALL]
        least = math.expm1(entry["half"])
        seen = "below 0.01%" if least < _LEAST_SHOWN else f"from about {least:.2%}"
        parts.append(f"{relative(entry['value'])} at learning rate {rate}, where differences {seen} can be seen")
    return "; ".join(parts)


def _model(model: Mapping[str, Any]) -> str:
    how = "from scratch" if model["from_scratch"] else "further"
    return f"model {code(model['model'])} ({how})"


def interval_note(seeds: int, evals: Mapping[str, Any]) -> str:
    """Return what the intervals cover.

    Args:
        seeds: Number of seeds.
        evals: The evaluation sets, by name.
    """
    single = [code(name) for name, found in evals.items() if found["num_documents"] == 1]
    but = f" With one document, as in {', '.join(single)}, they cover seeds only." if single else ""
    return (
        f"The 95 % intervals cover the choice of the {seeds} seeds and of the documents (Student's t with Welch's "
        f"degrees of freedom; documents by bootstrap).{but}"
    )


def _note(report: Mapping[str, Any]) -> str:
    count = report["num_comparisons"]
    if count == 1:
        return ""
    changed = [name for name, found in report["comparisons"].items() if found["verdict"] != found["verdict_adjusted"]]
    held = (
        "All verdicts stay the same if the intervals are widened so that they hold together (Bonferroni)."
        if not changed
        else "With intervals widened so that they hold together (Bonferroni), these verdicts change: "
        + ", ".join(f"{code(name)} to *{report['comparisons'][name]['verdict_adjusted']}*" for name in changed)
        + "."
    )
    return f"{count} comparisons are made at 95 % each, so that chance alone may show a difference in some. {held}"


def _verdicts(report: Mapping[str, Any]) -> Markdown:
    rows = [
        (code(name), Markdown(f"**{markdown(found['verdict'])}**"), markdown(_sizes(found)))
        for name, found in report["comparisons"].items()
    ]
    return table(("dataset", "verdict", "perplexity"), rows, left=3)


def _differences(report: Mapping[str, Any]) -> Markdown:
    rows = [
        (
            code(name),
            rate,
            _MEAN if one == ALL else code(one),
            relative(entry["value"]),
            f"{relative(entry['low'])} to {relative(entry['high'])}",
            percent(entry["seed_share"]),
            entry["verdict"],
        )
        for name, found in report["comparisons"].items()
        for rate, by_set in found["differences"].items()
        for one, entry in by_set.items()
        if one != ALL or len(by_set) > 2
    ]
    names = (
        "dataset",
        "learning rate",
        "held-out text",
        "difference",
        "95 % interval",
        "of it due to seeds",
        "verdict",
    )
    return table(names, rows, left=3)


def _perplexities(report: Mapping[str, Any]) -> Markdown:
    rows = []
    for name, by_rate in report["perplexity"].items():
        for rate, by_set in by_rate.items():
            shown = [entry for one, entry in by_set.items() if one != ALL or len(by_set) > 2]
            cells = [f"{entry['value']:,.4g} ({entry['low']:,.4g} to {entry['high']:,.4g})" for entry in shown]
            rows.append((code(name), rate, *cells))
    sets = [code(one) for one in report["evals"]]
    return table(("dataset", "learning rate", *sets, *([_MEAN] if len(sets) > 1 else [])), rows, left=1)


def _training(report: Mapping[str, Any]) -> str:
    training = report["training"]
    rates = " and ".join(f"{rate:g}" for rate in training["learning_rates"])
    return (
        f"{training['num_steps']:,} steps of {training['batch_size']} blocks of {training['context']} tokens, learning "
        f"rates {rates}, {training['seeds']} seeds{', LoRA' if training['lora'] else ''}; tokenizer "
        f"{code(report['model']['tokenizer'])}."
    )


def _variants(report: Mapping[str, Any]) -> Markdown:
    rows = [
        (code(name), f"{found['num_documents']:,}", f"{found['num_dropped']:,}", f"{found['num_tokens']:,}",
         f"{found['epochs']:.2f}")
        for name, found in report["variants"].items()
    ]  # fmt: skip
    return table(("dataset", "documents", "of them left out", "tokens", "epochs"), rows, left=1)


def _evals(report: Mapping[str, Any]) -> Markdown:
    rows = [
        (code(name), f"{found['num_documents']:,}", f"{found['num_tokens']:,}")
        for name, found in report["evals"].items()
    ]
    return table(("held-out text", "documents", "tokens"), rows, left=1)


def _contamination(report: Mapping[str, Any]) -> Markdown:
    rows = [
        (
            code(name),
            code(one),
            f"{entry['num_contaminated']:,} of {entry['num_checked']:,}",
            percent(entry["gram_share"]),
            f"{entry['num_training_documents']:,}",
        )
        for name, found in report["variants"].items()
        for one, entry in found["contamination"].items()
    ]
    names = (
        "dataset",
        "held-out text",
        "held-out documents",
        f"share of their {ORDER}-grams",
        "documents of the dataset",
    )
    return table(names, rows, left=2)


def _sources(report: Mapping[str, Any]) -> Markdown:
    kinds = (("dataset", report["variants"]), ("held-out text", report["evals"]))
    rows = [
        (code(name), kind, code(found["source"]), code(found["revision"]))
        for kind, entries in kinds
        for name, found in entries.items()
    ]
    return table(("name", "", "source", "revision"), rows, left=4)
