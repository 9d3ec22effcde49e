"""The report of a reproduction: Markdown, and pictures in the form of the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_toedit.analysis.plots import cycle
from hf_toedit.cards.escape import Markdown, code, markdown
from hf_toedit.cards.plots import legend, png
from hf_toedit.cards.tables import table
from hf_toedit.papers.item import Cell, Item, Outcome, Plot, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HOLDS = {
    "yes": "The claim holds here",
    "no": "The claim does not hold here",
    "not decided": "This does not decide the claim",
}
_STYLES: dict[str, dict[str, Any]] = {
    "line": {"linewidth": 1.8},
    "dashed": {"linewidth": 1.5, "linestyle": (0, (4, 3))},
    "points": {"linestyle": "none", "marker": "o", "markersize": 5},
}


def report_json(item: Item, settings: Mapping[str, Any], outcome: Outcome, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return all results by name, as JSON values.

    Args:
        item: The item.
        settings: Its settings.
        outcome: Its outcome.
        facts: Facts of the run: scale, seed, seconds, version.
    """
    return {
        "paper": {"title": item.paper.title, "arxiv": item.paper.arxiv},
        "name": item.name,
        "renamed": item.renamed,
        "claim": item.claim,
        "holds": outcome.holds,
        "reason": outcome.reason,
        "differs": item.differs,
        **facts,
        "settings": dict(settings),
        "tables": [
            {"title": one.title, "rows": [dict(zip(one.columns, row, strict=True)) for row in one.rows]}
            for one in outcome.tables
        ],
        "figures": dict(outcome.figures),
    }


def report_markdown(report: Mapping[str, Any], outcome: Outcome) -> str:
    """Return the report in Markdown.

    Args:
        report: Output of `report_json`.
        outcome: Outcome of the item.
    """
    paper = report["paper"]
    renamed = f"; {markdown(report['renamed'])}" if report["renamed"] else ""
    origin = f"[arXiv {paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']})"
    parts = [
        f"# {markdown(report['name'])}",
        f"Of *{markdown(paper['title'])}* ({origin}{renamed}).",
        f"> {markdown(report['claim'])}",
        f"**{_HOLDS[outcome.holds]}:** {markdown(outcome.reason)}",
    ]
    for plot in outcome.plots:
        parts.append(f"![{markdown(plot.words)}](assets/{plot.name}.png)")
    for one in outcome.tables:
        parts += [f"## {markdown(one.title)}", _table(one)]
    settings = [(markdown(name.replace("_", " ")), code(value)) for name, value in report["settings"].items()]
    parts += [
        "## Setting",
        ("" if report["scale"] == "tiny" else "At scale tiny: ") + markdown(report["differs"]),
        table(("setting", "value"), settings, left=2),
        f"Scale {markdown(report['scale'])}, seed {report['seed']}, {report['seconds']:,.0f} s, by hf-toedit "
        f"{markdown(report['version'])}.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(one: Table) -> Markdown:
    return table(one.columns, [[cell_text(cell) for cell in row] for row in one.rows], left=one.labels)


def cell_text(cell: Cell) -> str:
    """Format a table cell."""
    if cell is None:
        return ""
    return f"{cell:,.4g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell


def draw(plot: Plot) -> bytes:
    """Return a picture as PNG."""
    return png(_draw, plot)


def _draw(figure: Figure, plot: Plot) -> None:
    from matplotlib.ticker import FixedLocator

    axes = figure.subplots()
    for line, colour in zip(plot.lines, cycle(len(plot.lines)), strict=True):
        axes.errorbar(line.x, line.y, yerr=line.error, color=colour, label=line.name, capsize=3, **_STYLES[line.style])
    if plot.x_log:
        axes.set_xscale("log")
    if plot.y_log:
        axes.set_yscale("log")
    axes.set(xlabel=plot.x_label, ylabel=plot.y_label)
    legend(figure)
    figure.draw_without_rendering()
    # The layout may choose other ticks, whose labels are wider than the space that it gives them.
    axes.yaxis.set_major_locator(FixedLocator(axes.get_yticks().tolist()))
