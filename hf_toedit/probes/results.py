"""The stored results of a trained model: its losses, and its scores of held-out documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hf_toedit.errors import RunError
from hf_toedit.probes.evaluation import Scores
from hf_toedit.storage.files import whole_file


class Job(NamedTuple):
    """One model to train.

    Attributes:
        variant: Name of its training data.
        rate: Its learning rate.
        seed: Random seed of its initial weights, and of the order of the data.
    """

    variant: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.variant}/rate-{self.rate:g}/seed-{self.seed}"


@dataclass(frozen=True)
class Result:
    """The results of a trained model.

    Attributes:
        losses: `(step, training loss since the previous entry)`.
        scores: Scores of each evaluation set.
        seconds: Duration of training and evaluation, since the last start.
    """

    losses: list[tuple[int, float]]
    scores: Mapping[str, Scores]
    seconds: float

    def write(self, path: Path) -> None:
        """Write the result atomically.

        Raises:
            RunError: The file cannot be written.
        """
        value = {
            "losses": self.losses,
            "scores": {
                name: {"nll": scores.nll.tolist(), "num_tokens": scores.num_tokens.tolist()}
                for name, scores in self.scores.items()
            },
            "seconds": self.seconds,
        }
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(value), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Result | None:
        """Read a result; None if the file does not exist.

        Raises:
            RunError: The file is damaged.
        """
        if not path.exists():
            return None
        try:
            value = json.loads(path.read_bytes())
            scores = {
                name: Scores(np.array(found["nll"], np.float64), np.array(found["num_tokens"], np.int64))
                for name, found in value["scores"].items()
            }
            return cls([(step, loss) for step, loss in value["losses"]], scores, value["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged. Delete it, and run the same command again.") from error
