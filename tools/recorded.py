"""Edits of the bundled sample by a real prior, from run folders: the examples that the demo shows beside its toy.

python -m tools.recorded hf_toedit/space/assets/recorded.json toedit=RUN careful=RUN
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from hf_toedit.api.run import Run
from hf_toedit.editing.diff import segments
from hf_toedit.editing.kinds import kinds_of_edits
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.tasks.edit import edit_of

_CONTEXT = 32
_OF_A_KIND = 2


def main() -> None:
    """Write the file."""
    target, *runs = sys.argv[1:]
    named = (run.split("=", 1) for run in runs)
    recorded = [_recorded(title, Run.open(folder)) for title, folder in named]
    Path(target).write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _recorded(title: str, run: Run[Any]) -> dict[str, Any]:
    """Return the figures of a run by generation, and places that it changed, at most two of a kind."""
    prior = Path(edit_of(run.plan).prior.prior).name
    generations = [run.stats(pass_.name) for pass_ in run.plan.data_passes]
    tables = [table for table in run.texts() if table is not None and table.edits]
    seen: Counter[str] = Counter()
    places = []
    for table in tables:
        for edit, kind in zip(table.edits, kinds_of_edits(table), strict=True):
            seen[kind] += 1
            if seen[kind] <= _OF_A_KIND:
                alone = PieceTable(table.text, (edit,))
                shown = [[part.kind, part.text] for part in segments(alone, 1, _CONTEXT)]
                places.append({"kind": kind, "segments": shown})
    return {
        "title": title,
        "prior": prior,
        "num_tokens": generations[0].num_tokens,
        "num_selected": [stats.num_selected for stats in generations],
        "num_changed": [stats.num_changed for stats in generations],
        "places_by_kind": dict(seen),
        "places": places,
    }


if __name__ == "__main__":
    main()
