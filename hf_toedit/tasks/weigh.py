"""The task of weighing: score rows, and write only the scores, by which `select` decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_toedit.runs.task import RowCheck
from hf_toedit.tasks.score import ScoreTask

if TYPE_CHECKING:
    from datasets import Features

    from hf_toedit.rows.texts import Texts


@dataclass(frozen=True)
class WeighTask(ScoreTask):
    """Scores like those of `ScoreTask`, without the other columns; one per row, in the same order."""

    kind = "weigh"
    done = "weighed"
    scores_alone = True

    def check(self, features: Features, texts: Texts) -> None:
        """Allow any columns, as none are written; see `Task.check`."""
        texts.check(features)
        self.scorer.check(features)

    def output_features(self, features: Features, texts: Texts) -> Features:
        """See `Task.output_features`."""
        from datasets import Features

        return super().output_features(Features({}), texts)

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`; there are no rows other than the scores."""
        raise NotImplementedError
