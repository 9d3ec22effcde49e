"""Appendix D.3: the cost of editing compared with generating text."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any

from hf_toedit.papers.item import TOEDIT, Cell, Item, Outcome, Scale, Table, Work
from hf_toedit.papers.toedit.data import settings_of, texts_of


class AppendixD3(Item):
    """Appendix D.3: one forward pass per document compared with one per token."""

    paper = TOEDIT
    name = "Appendix D.3"
    claim = "Editing a text costs far less than generating as many tokens, since each document is read in one pass."
    minutes = 3
    differs = (
        "The paper counts operations. Here both are timed in turns on this machine, with the embedded prior and "
        "transformers' own generation, one process and everything that a run does."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return settings_of(scale, rounds=3, rows=20 if scale == "tiny" else 1000)

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.edits import edit
        from hf_toedit.api.generated import generate

        human = texts_of({**settings, "synthetic": "none"}, work).human
        how = {"prior": settings["prior"], "limit": settings["rows"], "workers": 0, "progress": work.progress}
        new = {"max_new_tokens": settings.get("max_new_tokens", 512), "seed": work.seed}
        rows: list[list[Cell]] = []
        folder = work.folder / "timed"
        for number in range(settings["rounds"] + 1):  # the first round loads libraries, and does not count
            shutil.rmtree(folder, ignore_errors=True)
            begun = time.monotonic()
            edited = edit(human, folder / "edited", **how).stats(1)
            between = time.monotonic()
            generated = generate(human, folder / "generated", **how, **new).stats()
            ended = time.monotonic()
            speeds = edited.num_tokens / (between - begun), generated.num_generated / (ended - between)
            if number:
                rows.append([str(number), *map(float, speeds), speeds[0] / speeds[1]])
        ratios = [float(row[3] or 0) for row in rows]
        reason = (
            f"editing a token takes 1/{min(ratios):.1f} to 1/{max(ratios):.1f} of the time of generating one, with all "
            f"that a run of so few rows takes beside the model."
        )
        columns = ("round", "tokens edited per second", "tokens generated per second", "ratio")
        return Outcome("yes" if min(ratios) > 1 else "no", reason, [Table("Speed", columns, rows)])
