"""A run and its results, as HTML: short facts, a table and curves. No Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from hf_toedit.cards.card import card_kind
from hf_toedit.cards.curves import PAPER_SELECTED, selected_curve, unchanged_curve
from hf_toedit.cards.data import CardData
from hf_toedit.cards.method import method_words
from hf_toedit.cards.origin import command, title
from hf_toedit.picture.html import escaped, generations_html, histogram_html, notice_html
from hf_toedit.space.line_chart import line_chart
from hf_toedit.space.opening import OpenRun
from hf_toedit.stats import EditStats, generation_figures
from hf_toedit.tasks.edit import edit_of


def run_html(run: OpenRun) -> str:
    """Return the facts of a run, and its figures as far as they are known.

    Args:
        run: The run.
    """
    stats, note = _generations(run)
    parts = [_about(run)]
    if note:
        parts.append(notice_html(note))
    if stats:
        parts.append(generations_html(stats))
        charts = [histogram_html(stats[0], edit_of(run.plan).edit), *_curves(stats)]
        parts.append(f'<div class="te-charts">{"".join(charts)}</div>')
    return f'<div class="te te-run">{"".join(parts)}</div>'


def _generations(run: OpenRun) -> tuple[list[EditStats], str]:
    """Return the statistics of generations 1, 2, … over the same shards, and a note about those left out."""
    if run.stats is None:
        card = "on its page" if run.link else "in its card, README.md"
        return (
            [],
            f"The statistics of this run are in too many files to be fetched here. Its figures are {card}.",
        )
    shards, generations = run.plan.shards, run.stats
    common = set(generations[0])
    while generations and not common.intersection(*generations):
        generations = generations[:-1]
    common.intersection_update(*generations)
    if not common:
        return [], "The statistics of this run are incomplete, so its figures cannot be shown."
    merged = [EditStats.merged(stats for name, stats in parts.items() if name in common) for parts in generations]
    if len(common) == len(shards) and len(generations) == len(run.stats):
        return merged, ""
    return merged, (
        f"This run is not finished: the figures are of {len(common):,} of its {len(shards):,} shards, "
        f"in {len(generations):,} of its {len(run.stats):,} generations."
    )


def _about(run: OpenRun) -> str:
    plan = run.plan
    task = edit_of(plan)
    data = CardData(plan, run.name, stats=(), features={}, infos=(), repo_id=run.address and run.name, prefix="")
    prior = data.model_repo or ("The embedded prior" if task.prior.prior == "embedded" else _last(task.prior.prior))
    counts = ", ".join(f"{run.rows.num_rows(split):,} rows in {split}" for split in run.rows.splits)
    said = f"{prior} read every text; {method_words(plan)}. {len(task.generations):,} " + (
        "generation" if len(task.generations) == 1 else "generations"
    )
    place = escaped(run.name)
    if run.link:
        place = f'<a href="{escaped(run.link)}" target="_blank" rel="noopener noreferrer">{place}</a>'
    typed = command(data)
    folded = f"<details><summary>Command</summary><pre>{escaped(typed)}</pre></details>" if typed else ""
    cut = " at least" if run.rows.is_cut else ""
    return (
        f'<h2>{escaped(title(data, card_kind(plan).words))}</h2><p class="te-place">{place}</p>'
        f"<p>{escaped(said)},{cut} {escaped(counts)}.</p>{folded}"
    )


def _curves(stats: Sequence[EditStats]) -> list[str]:
    """Return charts of the share of selected tokens and of the unchanged source, if there are several generations."""
    if len(stats) < 2 or not stats[0].num_selected:
        return []
    figures = generation_figures(stats)
    rates = ", ".join(f"{entry.selected_rate:.2%}" for entry in figures)
    curves = [
        line_chart(
            "Selected tokens by generation, % of those in generation 1",
            f"The share of selected tokens is {rates}. In the paper, Table 9, it is "
            + ", ".join(f"{value:.0f}" for value in PAPER_SELECTED)
            + " % of that in generation 1.",
            1,
            {"this run": selected_curve(figures), "paper": PAPER_SELECTED},
        )
    ]
    unchanged = unchanged_curve([entry.characters_unchanged for entry in figures])
    if unchanged:
        words = ", ".join(f"{value:.2f} %" for value in unchanged[1:])
        curves.append(
            line_chart(
                "Characters of the source that are unchanged, %",
                f"From generation 1 on: {words}.",
                0,
                {"this run": unchanged},
            )
        )
    return curves


def _last(path: str) -> str:
    return PurePath(path).name or path
