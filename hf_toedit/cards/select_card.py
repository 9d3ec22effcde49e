"""The card section about a selection of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, markdown, percent
from hf_toedit.cards.origin import given, source_name, source_rows, version_rows
from hf_toedit.cards.score_tables import number
from hf_toedit.cards.scorer_words import ScorerWords, scorer_words
from hf_toedit.cards.section import shared, template
from hf_toedit.cards.tables import field_table, table
from hf_toedit.errors import UsageError
from hf_toedit.runs.plan import Plan
from hf_toedit.scorers.registry import scorer_from_json
from hf_toedit.selection.breakdown import Breakdown
from hf_toedit.selection.choice import Choice
from hf_toedit.tasks.score import ScoreTask
from hf_toedit.tasks.select import SelectFigures, SelectTask


def select_title(plan: Plan) -> str:
    """Return what was done to the source, for headings."""
    return f"selected by {_task(plan).by.get('scorer')}"


def select_section(data: CardData) -> str:
    """Return Markdown about a select run."""
    task = _task(data.plan)
    scorer = scorer_from_json(task.by, "by")
    # Scorer words expect a score run; this one has the scorer that decided.
    weighed = replace(data, plan=replace(data.plan, task=ScoreTask(scorer)))
    words, choice = scorer_words(scorer), Choice.from_mapping(task.choice)
    return template("select").render(
        shared(data),
        headline=_headline(data, task, choice, words),
        method=table(("what", "value"), [*words.rows(weighed), *_choice_rows(task, choice)], left=2),
        scores=_scores(task.figures, task.score),
        truth=None if task.figures.truth is None else _truth(task.figures.truth, task.truth or {}),
        origin=table(("what", "value"), [*source_rows(weighed), *version_rows(data)], left=2),
        fields=field_table(weighed, {}),
        limits=[Markdown(limit) for limit in words.limits()],
        model_role=words.role,
    )


def _task(plan: Plan) -> SelectTask:
    if not isinstance(plan.task, SelectTask):
        raise UsageError(f"this needs a run whose rows are selected, and those of this run are {plan.task.done}.")
    return plan.task


def _headline(data: CardData, task: SelectTask, choice: Choice, words: ScorerWords) -> Markdown:
    figures = task.figures
    share = figures.num_kept / figures.num_rows if figures.num_rows else 0
    what = markdown(words.what(task.score))
    which = {
        "highest": f"those with the highest {what}",
        "lowest": f"those with the lowest {what}",
        "middle": f"those nearest to the middle of all rows in order of their {what}",
        "above": f"those whose score {code(task.score)} is at least {number(choice.threshold or 0)}",
        "below": f"those whose score {code(task.score)} is at most {number(choice.threshold or 0)}",
    }[choice.keep]
    if choice.sampled:
        which = f"a sample without replacement, in proportion to the exponential of their {what}"
    return Markdown(
        f"These are {figures.num_kept:,} of the {figures.num_rows:,} rows of {markdown(source_name(data))} "
        f"({share:.2%}): {which}. Every row is identical to the source."
    )


def _choice_rows(task: SelectTask, choice: Choice) -> Iterator[tuple[str, Markdown]]:
    asked = {"rows": choice.rows, "share of the rows": choice.rate, "threshold": choice.threshold}
    yield from given({"score": task.score, "kept": choice.keep, **asked, "seed": choice.seed})


def _scores(figures: SelectFigures, score: str) -> Markdown:
    names = ("rows", "number", *(f"{100 * float(q):g} %" for q in figures.quantiles))
    rows = [
        (name, f"{count:,}", *map(number, quantiles.values()))
        for name, count, quantiles in (
            ("all", figures.num_scored, figures.quantiles),
            ("kept", figures.num_kept, figures.kept_quantiles),
        )
    ]
    unscored = figures.num_rows - figures.num_scored
    left = f" {unscored:,} rows have none, and were not kept." if unscored else ""
    return Markdown(f"Quantiles of the score {code(score)}:{left}\n\n{table(names, rows)}")


def _truth(found: Breakdown, verifier: dict[str, Any]) -> Markdown:
    """Describe how well the selection separates right rows from wrong ones."""
    known = found.num_right + found.num_wrong
    kept = found.num_right_kept + found.num_wrong_kept
    rows: list[tuple[object, ...]] = [
        ("rows that are known to be right or wrong", f"{known:,}", ""),
        ("kept of them", f"{kept:,}", ""),
        ("wrong, of all of them", percent(found.error_rate), _between(found.error_low, found.error_high)),
        ("wrong, of those that were kept", percent(found.kept_error_rate), ""),
        ("kept of the right ones (phi)", percent(found.phi), ""),
        ("kept of the wrong ones (psi)", percent(found.psi), ""),
        ("breakdown point 1 / (1 + psi / phi)", percent(found.point), _between(found.point_low, found.point_high)),
        ("error rate against the breakdown point", found.verdict, ""),
    ]
    by = code(str(verifier.get("scorer", "")))
    return Markdown(
        f"Right is what {by} says (reference: {code(str(verifier.get('reference_column', '')))}). Below the breakdown "
        f"point more right rows are kept than wrong ones, and a model can learn from them as from right rows alone, by "
        f"Theorem 3.2 of Feng et al. 2024 (arXiv 2406.07515), which is about two classes.\n\n"
        f"{table(('what', 'value', '95 % interval'), rows)}"
    )


def _between(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"
