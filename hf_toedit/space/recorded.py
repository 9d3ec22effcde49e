"""Recorded edits of the bundled sample by a real prior, as HTML, because the demo starts with a toy prior."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from hf_toedit.cards.escape import html
from hf_toedit.editing.diff import ADDED, REMOVED
from hf_toedit.place_kinds import KINDS

_TAGS = {REMOVED: "del", ADDED: "ins"}


def recorded_html() -> str:
    """Return a fold-out with a table per recorded run; `tools/recorded.py` writes its data."""
    runs = json.loads(files("hf_toedit.space").joinpath("assets/recorded.json").read_text(encoding="utf-8"))
    prior = html(runs[0]["prior"])
    return (
        f'<details class="te te-recorded"><summary>What a real prior does: {prior} on the bundled sample</summary>'
        f"<p>Recorded over three generations. The embedded prior has a small vocabulary, and breaks words more "
        f"often.</p>{''.join(map(_run, runs))}</details>"
    )


def _run(run: Mapping[str, Any]) -> str:
    rates = [f"{count / run['num_tokens']:.2%}" for count in run["num_selected"]]
    total = sum(run["num_changed"])
    head = (
        f"<h3>{html(run['title'])}</h3><p>Of {run['num_tokens']:,} tokens, {', '.join(rates)} were selected in the "
        f"three generations, and {total:,} changed.</p>"
    )
    rows = "".join(f"<tr><td>{html(KINDS[place['kind']])}</td><td>{_place(place)}</td></tr>" for place in run["places"])
    return head + (f"<table><tbody>{rows}</tbody></table>" if rows else "")


def _place(place: Mapping[str, Any]) -> str:
    return "".join(_segment(kind, text) for kind, text in place["segments"])


def _segment(kind: str, text: str) -> str:
    """Return a segment of text as HTML; line breaks are visible, even where only a line break was deleted."""
    tag, shown = _TAGS.get(kind), html(text.replace("\n", "⏎"))
    return f"<{tag}>{shown}</{tag}>" if tag and text else shown
