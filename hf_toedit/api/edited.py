"""Data that `compare` takes from edit runs: their figures, their edits, and the recorded scores of their texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING, Any

from hf_toedit.api.run import Run
from hf_toedit.config import PriorConfig, SourceConfig, TextConfig
from hf_toedit.errors import RunError
from hf_toedit.runs.store import is_run
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import RESULT, EditTask, edit_of
from hf_toedit.tasks.read import ReadTask

if TYPE_CHECKING:
    from hf_toedit.editing.piece_table import PieceTable


@dataclass(frozen=True)
class Edited:
    """A generation of an edit run.

    Attributes:
        run: The run.
        generation: Its number, from 1 to the last.
    """

    run: Run[EditStats]
    generation: int

    @classmethod
    def of(cls, source: str) -> Edited | None:
        """Return the generation that `RUN:gen2` or a run folder refers to; None if it is not from an edit run."""
        folder, colon, pass_ = source.rpartition(":")
        if not (colon and is_run(folder)):
            folder, pass_ = source, ""
        if not is_run(folder):
            return None
        run: Run[EditStats] = Run.open(folder)
        if not isinstance(run.plan.task, EditTask):
            return None
        names = {f"gen{number}": number for number in run.plan.task.generations}
        number = names.get(pass_ or run.plan.shown_passes[-1].name)
        return None if number is None else cls(run, number)

    def generations(self) -> list[EditStats]:
        """Return the statistics of each generation up to this one.

        Raises:
            RunError: A shard is not done.
        """
        return [self.run.stats(number) for number in range(1, self.generation + 1)]

    def reading(self, prior: PriorConfig, source: SourceConfig) -> EditStats | None:
        """Return the statistics that the run recorded when a prior scored this generation, in the next pass.

        Args:
            prior: The requested prior.
            source: Source of the variant: the requested rows and texts.

        Returns:
            The statistics; None if they are of another prior, other texts or a sample of tokens, or the pass is not
                done.
        """
        task, mine = edit_of(self.run.plan), self.run.plan.source
        if (source.limit, source.split, source.columns) != (None, None, ()):
            return None
        if any(getattr(source, entry.name) != getattr(mine, entry.name) for entry in fields(TextConfig)):
            return None
        behind = {pass_.name for pass_ in self.run.plan.passes} & {
            f"gen{self.generation + 1}",
            RESULT if self.generation == task.generations[-1] else "",
        }
        asked = ReadTask(prior).resolved()
        is_same = (asked.prior.prior, asked.prior.dtype, asked.prior_revision) == (
            task.prior.prior, task.prior.dtype, task.prior_revision,
        )  # fmt: skip
        if not (behind and is_same):
            return None
        with suppress(RunError):
            stats = self.run.stats(behind.pop())
            return None if stats.is_sample or stats.median_perplexity is None else stats
        return None

    def has_source_of(self, other: Edited) -> bool:
        """Whether both runs read the same texts in the same order, and log their edits."""
        mine, theirs = self.run.plan, other.run.plan
        return all(edit_of(plan).run.edit_log_column for plan in (mine, theirs)) and (
            (mine.source, mine.source_revision, mine.files) == (theirs.source, theirs.source_revision, theirs.files)
        )


def overlaps(edited: Mapping[str, Edited]) -> list[dict[str, Any]]:
    """Return how far the edits of two datasets overlap, for each pair with the same source.

    See `analysis.edits.overlap`.

    Args:
        edited: Generations by the name of the dataset.
    """
    from hf_toedit.analysis.edits import overlap

    return [
        {"datasets": [first, second], **overlap(_texts(mine, theirs))}
        for (first, mine), (second, theirs) in combinations(edited.items(), 2)
        if mine.has_source_of(theirs)
    ]


def _texts(mine: Edited, theirs: Edited) -> Iterator[tuple[PieceTable | None, PieceTable | None]]:
    return zip(mine.run.texts(mine.generation), theirs.run.texts(theirs.generation), strict=True)
