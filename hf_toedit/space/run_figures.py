"""What a run is and how it went, as HTML: the facts of its card in few words, its table, and its curves. No Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from hf_toedit.cards.data import CardData
from hf_toedit.cards.origin import command, method_words, title
from hf_toedit.cards.tables import PAPER
from hf_toedit.picture.html import escaped, generations_html, histogram_html, notice_html
from hf_toedit.space.opening import OpenRun
from hf_toedit.stats import EditStats, generation_figures

_WIDTH, _HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BASE = 44, 322, 16, 160
_MOST_TICKS = 8


def run_html(run: OpenRun) -> str:
    """What a run is, and its figures as far as they are known.

    Args:
        run: to tell of.
    """
    stats, note = _generations(run)
    parts = [_about(run)]
    if note:
        parts.append(notice_html(note))
    if stats:
        parts.append(generations_html(stats))
        charts = [histogram_html(stats[0], run.plan.edit), *_curves(stats)]
        parts.append(f'<div class="te-charts">{"".join(charts)}</div>')
    return f'<div class="te te-run">{"".join(parts)}</div>'


def _generations(run: OpenRun) -> tuple[list[EditStats], str]:
    """Statistics of generations 1, 2, … over the same shards, and what to say of those that are left out."""
    if run.stats is None:
        card = "on its page" if run.link else "in its card, README.md"
        return [], f"The statistics of this run lie in too many files to be fetched for a visit. Its figures are {card}."
    shards, generations = run.plan.shards, run.stats
    common = set(generations[0])
    while generations and not common.intersection(*generations):
        generations = generations[:-1]
    common.intersection_update(*generations)
    if not common:
        return [], "The statistics of this run are not whole, so there are no figures of it."
    told = [EditStats.merged(stats for name, stats in parts.items() if name in common) for parts in generations]
    if len(common) == len(shards) and len(generations) == len(run.stats):
        return told, ""
    return told, (
        f"This run is not finished: the figures are of {len(common):,} of its {len(shards):,} shards, "
        f"in {len(generations):,} of its {len(run.stats):,} generations."
    )


def _about(run: OpenRun) -> str:
    plan = run.plan
    data = CardData(
        plan, run.name, stats=(), result=None, features={}, infos=(), examples=(), repo_id=run.address and run.name
    )
    prior = data.prior_repo or ("the embedded prior" if plan.prior.prior == "embedded" else _last(plan.prior.prior))
    counts = ", ".join(f"{run.rows.num_rows(split):,} rows in {split}" for split in run.rows.splits)
    said = f"{prior} read every text; {method_words(plan.edit)}. {len(plan.generations):,} " + (
        "generation" if len(plan.generations) == 1 else "generations"
    )
    place = escaped(run.name)
    if run.link:
        place = f'<a href="{escaped(run.link)}" target="_blank" rel="noopener noreferrer">{place}</a>'
    typed = command(data)
    folded = f"<details><summary>Command</summary><pre>{escaped(typed)}</pre></details>" if typed else ""
    cut = " at least" if run.rows.is_cut else ""
    return (
        f'<h2>{escaped(title(data))}</h2><p class="te-place">{place}</p>'
        f"<p>{escaped(said)},{cut} {escaped(counts)}.</p>{folded}"
    )


def _curves(stats: Sequence[EditStats]) -> list[str]:
    """How the share of selected tokens falls, and what stands of the source, where there are generations to compare."""
    if len(stats) < 2 or not stats[0].num_selected:
        return []
    figures = generation_figures(stats)
    run = [100 * entry.selected_rate / figures[0].selected_rate for entry in figures]
    paper = [100 * (selected / tokens) / (PAPER[0][1] / PAPER[0][0]) for tokens, selected in PAPER]
    rates = ", ".join(f"{entry.selected_rate:.2%}" for entry in figures)
    curves = [
        _chart(
            "Selected tokens by generation, % of those in generation 1",
            f"The share of selected tokens is {rates}. In the paper, Table 9, it is "
            + ", ".join(f"{value:.0f}" for value in paper)
            + " % of that in generation 1.",
            1,
            {"this run": run, "paper": paper},
        )
    ]
    if all(entry.characters_standing is not None for entry in figures):
        standing = [100.0, *(100 * (entry.characters_standing or 0) for entry in figures)]
        told = ", ".join(f"{value:.2f} %" for value in standing[1:])
        curves.append(
            _chart(
                "Characters of the source that still stand, %",
                f"From generation 1 on: {told}.",
                0,
                {"this run": standing},
            )
        )
    return curves


def _chart(caption: str, words: str, first: int, lines: dict[str, list[float]]) -> str:
    """Lines over generations, told apart by dashes, marks and their names.

    Args:
        caption: above the picture.
        words: what it shows, for who cannot see it.
        first: generation that the lines begin with.
        lines: values by name; the first is the one that matters.
    """
    values = [value for line in lines.values() for value in line]
    last = first + max(map(len, lines.values())) - 1
    low, high = min(values), max(values)
    room = max(high - low, 0.5) / 8
    low, high = low - room, high + room

    def place(generation: int, value: float) -> tuple[float, float]:
        x = _LEFT + (_RIGHT - _LEFT) * (generation - first) / max(last - first, 1)
        return x, _BASE - (_BASE - _TOP) * (value - low) / (high - low)

    step = max(1, -(-(last - first) // _MOST_TICKS))
    parts = [f'<line class="te-axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BASE}" y2="{_BASE}"/>']
    for generation in range(first, last + 1, step):
        x, _ = place(generation, low)
        parts.append(f'<text x="{x:.1f}" y="{_BASE + 16}" text-anchor="middle">{generation}</text>')
    parts.append(f'<text x="{(_LEFT + _RIGHT) / 2:.0f}" y="{_BASE + 34}" text-anchor="middle">generation</text>')
    digits = 0 if high - low > 5 else 1 if high - low > 0.5 else 2
    for share in (0.0, 0.5, 1.0):
        value = min(values) + share * (max(values) - min(values))
        _, y = place(first, value)
        parts.append(f'<line class="te-grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>')
    for number, (name, line) in enumerate(lines.items()):
        places = [place(first + index, value) for index, value in enumerate(line)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="te-line{number}" points="{points}"/>')
        parts += [_mark(number, x, y) for x, y in places]
    legend = "".join(
        f'<span class="te-key"><svg viewBox="0 0 28 10" aria-hidden="true"><line class="te-line{number}" x1="0" x2="28" '
        f'y1="5" y2="5"/>{_mark(number, 14, 5)}</svg>{escaped(name)}</span>'
        for number, name in enumerate(lines)
    )
    return (
        f'<figure class="te te-curve"><figcaption>{escaped(caption)}'
        f"{f'<span class="te-keys">{legend}</span>' if len(lines) > 1 else ''}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(f"{caption}. {words}")}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _mark(number: int, x: float, y: float) -> str:
    if number == 0:
        return f'<circle class="te-mark0" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return f'<rect class="te-mark1" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'


def _last(path: str) -> str:
    return PurePath(path).name or path
