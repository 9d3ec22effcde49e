"""What is kept of a trained model: its losses, and what it says of each held-out document."""

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
        variant: Its data.
        rate: Its learning rate.
        seed: Of its first weights, and of the order of the data.
    """

    variant: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.variant}/rate-{self.rate:g}/seed-{self.seed}"


@dataclass(frozen=True)
class Result:
    """What is known of a trained model.

    Attributes:
        losses: `(step, training loss since the last one)`.
        scores: Of each evaluation set.
        seconds: That training and evaluation took, since it was last begun.
    """

    losses: list[tuple[int, float]]
    scores: Mapping[str, Scores]
    seconds: float

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            RunError: It cannot be written.
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
        """Read it; None where it is not there.

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
